/** dom0's own way to a guest's memory: foreign mappings of one page. */

import { PROT_READ, PROT_WRITE } from '../hypervisor/port.js';
import { xc_map_foreign_range } from '../xc/foreign_memory.js';
import type { Session } from './session.js';

const PAGE_SIZE = 4096;

/** Writes bytes at the beginning of a page. */
export function storeBytes({ xch }: Session, domid: number, gfn: number, bytes: Uint8Array): void {
  using page = xc_map_foreign_range(xch, domid, PAGE_SIZE, PROT_READ | PROT_WRITE, gfn);
  page.bytes.set(bytes);
}

/** Fills a page with zeros. */
export function zeroPage(session: Session, domid: number, gfn: number): void {
  storeBytes(session, domid, gfn, new Uint8Array(PAGE_SIZE));
}

/** A copy of a page. */
export function loadPage({ xch }: Session, domid: number, gfn: number): DataView {
  using page = xc_map_foreign_range(xch, domid, PAGE_SIZE, PROT_READ, gfn);
  return new DataView(page.bytes.slice().buffer);
}
