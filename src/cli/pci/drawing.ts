/** A picture of a BAR's pages, before it is drawn: what is where, and which pages a guest may only read. */

import type { PlacedBar } from '../../pci/bars.js';
import type { Inspection } from '../../pci/inspect.js';
import { isPlaced } from '../../pci/sharing.js';

export const PAGE = 4096;

/** What some bytes are. */
export type PieceKind = 'table' | 'pba' | 'other';

/** Bytes of a page, the last one included, from the page's start. */
export interface Piece {
  readonly kind: PieceKind;
  readonly from: number;
  readonly to: number;
}

/** A page, or a run of pages in which a guest may do what it likes. */
export interface Row {
  /** In the BAR, in bytes; below 0 where the first page begins before the BAR. */
  readonly offset: number;
  readonly pages: number;
  readonly firstFrame: number;
  /** Nobody can write it. */
  readonly protected: boolean;
  /** Of a page that is protected: all of its bytes, in order. Those that are nobody's are left out. */
  readonly pieces: readonly Piece[];
  /** The other BARs that have something in the page: `BAR 1`, or `BAR 0 of 0000:03:00.0`. */
  readonly others: readonly string[];
}

export interface BarDrawing {
  readonly bar: PlacedBar & { readonly address: bigint };
  readonly rows: readonly Row[];
}

/** The BARs that have a table or a PBA, page by page. Empty where no frames are known. */
export function drawingsOf({ msix, bars, shared }: Inspection): BarDrawing[] {
  if (!msix) return [];
  const places = [
    { kind: 'table' as const, place: msix.table },
    { kind: 'pba' as const, place: msix.pba },
  ].flatMap(({ kind, place }) => (isPlaced(place) ? [{ kind, place }] : []));
  return [...new Set(places.map(({ place }) => place.bir))].flatMap((bir) => {
    const bar = bars.find(({ index }) => index === bir);
    if (!bar || bar.address === null) return [];
    const { address } = bar;
    const own = places.filter(({ place }) => place.bir === bir);
    const end = bar.size === null ? Math.max(...own.map(({ place }) => place.offset + place.bytes)) : Number(bar.size);
    const base = Number(address >> 12n);
    const start = Number(address % BigInt(PAGE));
    const pieces: Piece[] = own.map(({ kind, place: { offset, bytes } }) => ({
      kind,
      from: start + offset,
      to: start + offset + bytes - 1,
    }));
    const lastPage = Math.floor((start + Math.max(end, 1) - 1) / PAGE);
    const guarded = new Set(own.flatMap(({ place }) => range(place.firstFrame - base, place.lastFrame - base)));
    const rows: Row[] = [];
    let page = 0;
    for (const guard of [...guarded].sort((a, b) => a - b)) {
      if (guard > page) rows.push(free(page, guard - page, base, start));
      const frame = base + guard;
      const inPage = shared.filter((one) => one.bytes === null && one.firstFrame <= frame && frame <= one.lastFrame);
      rows.push({
        offset: guard * PAGE - start,
        pages: 1,
        firstFrame: frame,
        protected: true,
        pieces: pagePieces(guard * PAGE, pieces, start, start + end),
        others: inPage.map((one) => (one.own ? `BAR ${one.bar}` : `BAR ${one.bar} of ${one.sbdf}`)),
      });
      page = guard + 1;
    }
    if (page <= lastPage) rows.push(free(page, lastPage - page + 1, base, start));
    return [{ bar: { ...bar, address }, rows }];
  });
}

function free(page: number, pages: number, base: number, start: number): Row {
  return { offset: page * PAGE - start, pages, firstFrame: base + page, protected: false, pieces: [], others: [] };
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** What of the pieces is in the page at `at`, and the rest of the BAR that is. `from` and `to`: where the BAR is. */
function pagePieces(at: number, pieces: readonly Piece[], from: number, to: number): Piece[] {
  const found: Piece[] = [];
  const add = (kind: PieceKind, first: number, last: number): void => {
    const begin = Math.max(first, from, at);
    const end = Math.min(last, to - 1, at + PAGE - 1);
    if (begin <= end) found.push({ kind, from: begin - at, to: end - at });
  };
  let next = at;
  for (const { kind, from: first, to: last } of [...pieces].sort((a, b) => a.from - b.from)) {
    add('other', next, first - 1);
    add(kind, Math.max(first, next), last);
    next = Math.max(next, last + 1);
  }
  add('other', next, at + PAGE - 1);
  return found;
}
