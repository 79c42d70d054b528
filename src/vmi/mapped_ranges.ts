/** Which pages of an address space are mapped. */

import type { PageTables } from './page_tables.js';
import type { NotMapped, Paging } from './paging.js';
import type { Piece } from './search.js';

const ADDRESS_PAGES = 2 ** 52;

/** One more than the last page number there can be, unsigned. */
export function endPageOf({ mode }: Paging): number {
  if (mode === 'none') return 2 ** 40;
  return mode === '32-bit' || mode === 'pae' ? 2 ** 20 : ADDRESS_PAGES;
}

/**
 * The mapped pages between two page numbers, a piece for each page of whatever size. An entry that is not present is
 * passed over with all that it could map.
 */
export function* mappedPieces(tables: PageTables, first: number, end: number): Generator<Piece> {
  for (let page = first; page < end; ) {
    const walked = tables.walk(page >= ADDRESS_PAGES / 2 ? page - ADDRESS_PAGES : page, 0);
    if (!walked.mapped) {
      page = beyond(page, walked, tables.paging);
      continue;
    }
    const within = walked.pageSize / 4096;
    const next = (Math.floor(page / within) + 1) * within;
    const pages = Math.min(next, end) - page;
    yield { page, frame: walked.address / 4096, pages };
    page += pages;
  }
}

/** The first page that what ended the walk says nothing about. */
function beyond(page: number, { reason, level }: NotMapped, { mode }: Paging): number {
  if (reason === 'not-canonical') {
    if (mode !== '4-level' && mode !== '5-level') return ADDRESS_PAGES;
    const half = mode === '4-level' ? 2 ** 35 : 2 ** 44;
    return page < ADDRESS_PAGES - half ? ADDRESS_PAGES - half : ADDRESS_PAGES;
  }
  // a missing table takes the whole of the entry that led to it, one level up
  const bits = mode === '32-bit' ? 10 : 9;
  const span = 2 ** (bits * (reason === 'no-table' ? level : level - 1));
  return (Math.floor(page / span) + 1) * span;
}
