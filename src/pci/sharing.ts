/** What else is in the pages that Xen makes read-only, and what that means for each release. */

import { formatSbdf } from '../abi/pci/sbdf.js';
import { atLeast, type Release } from '../abi/release.js';
import { hex, type PlacedBar } from './bars.js';
import { type Finding, note, problem } from './finding.js';
import type { Msix, MsixPlace } from './msix.js';
import { type Bytes, neighbours, type PageMap } from './pages.js';

/** Something that has a page in common with a table or a PBA. */
export interface Shared {
  /** Whose it is: `ssss:bb:dd.f`. */
  readonly sbdf: string;
  readonly bar: number;
  /** Bytes of the BAR, the last one included; null: all that it has in those pages. */
  readonly bytes: Bytes | null;
  /** The frames in common. */
  readonly firstFrame: number;
  readonly lastFrame: number;
  /** Of the same function. */
  readonly own: boolean;
}

/** More than these are not listed: a machine that has them is not in order. */
const MOST = 16;

type Known = MsixPlace & {
  readonly bir: number;
  readonly offset: number;
  readonly bytes: number;
  readonly firstFrame: number;
  readonly lastFrame: number;
};

/** Whether a table or PBA has frames that are known. */
export function isPlaced(place: MsixPlace): place is Known {
  return place.firstFrame !== null;
}

/** What shares pages with a function's table and PBA. */
export function sharing(sbdf: number, { table, pba }: Msix, bars: readonly PlacedBar[], pages: PageMap): Shared[] {
  const places = [table, pba].filter(isPlaced);
  const own = formatSbdf(sbdf);
  const found: Shared[] = [];
  for (const bir of new Set(places.map((one) => one.bir))) {
    const bar = bars.find(({ index }) => index === bir);
    if (!bar || bar.address === null) continue;
    const { address, size } = bar;
    const pieces = places
      .filter((one) => one.bir === bir)
      .map(({ offset, bytes }) => ({ from: offset, to: offset + bytes - 1 }));
    for (const bytes of neighbours(pieces, address, size)) {
      const frame = (offset: number): number => Number((address + BigInt(offset)) >> 12n);
      found.push({ sbdf: own, bar: bir, bytes, firstFrame: frame(bytes.from), lastFrame: frame(bytes.to), own: true });
    }
  }
  for (const place of places) {
    for (const { sbdf: other, bar, firstFrame, lastFrame } of pages.overlapping(
      place.firstFrame,
      place.lastFrame,
      MOST,
    )) {
      if (other === sbdf && bar.index === place.bir) continue;
      const seen = found.some((one) => one.sbdf === formatSbdf(other) && one.bar === bar.index && one.bytes === null);
      if (seen) continue;
      found.push({
        sbdf: formatSbdf(other),
        bar: bar.index,
        bytes: null,
        firstFrame: Math.max(firstFrame, place.firstFrame),
        lastFrame: Math.min(lastFrame, place.lastFrame),
        own: other === sbdf,
      });
    }
  }
  return found;
}

/** Whether Xen passes writes beside a table, but in its pages, on to the device (`msixtbl_write`, since 4.19). */
export function emulatesNeighbours(release: Release): boolean {
  return atLeast(release, '4.19');
}

/** What to say about it. */
export function sharingFindings(shared: readonly Shared[], { table, pba }: Msix, release?: Release): Finding[] {
  const others = shared.filter(({ own }) => !own);
  const findings = others.map(({ sbdf, bar, firstFrame, lastFrame }) =>
    problem(
      'shared-function',
      `BAR ${bar} of ${sbdf} is in the same page as the MSI-X table or pending-bit array (${frames(firstFrame, lastFrame)}): once that is protected, whoever has ${sbdf} cannot write its registers there either.`,
      'Have the kernel align BARs to pages (pci=resource_alignment=4096@...), or give both to the same guest and expect its driver to fail.',
    ),
  );
  const own = shared.filter((one) => one.own);
  if (own.length === 0) return findings;
  const what = own.map(({ bar, bytes }) =>
    bytes ? `${hex(bytes.from)}-${hex(bytes.to)} of BAR ${bar}` : `BAR ${bar}`,
  );
  const before = 'no guest can write registers that the device may have there: its driver faults or hangs';
  const since = `Xen passes such writes on to the device${samePage(table, pba) ? ', but drops those in the page of the pending-bit array' : ''}`;
  const says =
    release === undefined
      ? `Before Xen 4.19 ${before}. From 4.19 on ${since}.`
      : emulatesNeighbours(release)
        ? `On Xen ${release} ${since}.`
        : `On Xen ${release} ${before}. From 4.19 on ${since}.`;
  return [
    ...findings,
    note(
      'shared-registers',
      `The pages of the MSI-X table and the pending-bit array also have ${what.join(', ')}. ${says}`,
    ),
  ];
}

/** Whether the PBA is in a page of the table. */
function samePage(table: MsixPlace, pba: MsixPlace): boolean {
  return isPlaced(table) && isPlaced(pba) && pba.firstFrame <= table.lastFrame && table.firstFrame <= pba.lastFrame;
}

/**
 * Xen up to 4.22 takes the PBA's length in words of 64 bits for bytes (`msix_capability_init`), so that a PBA that
 * crosses into another page may be protected in its first one only.
 */
export function xenPbaGap({ vectors, pba }: Msix, bars: readonly PlacedBar[]): Finding[] {
  const address = bars.find(({ index }) => index === pba.bir)?.address ?? null;
  if (!isPlaced(pba) || vectors === null || address === null) return [];
  const protectedLast = Number((address + BigInt(pba.offset + Math.ceil(vectors / 64) - 1)) >> 12n);
  if (protectedLast >= pba.lastFrame) return [];
  return [
    problem(
      'pba-length',
      `Xen (up to 4.22) counts the pending-bit array too short and protects it up to ${hex(protectedLast)} only: a guest can write its part in ${frames(protectedLast + 1, pba.lastFrame)}.`,
      'Do not give this device to a guest that is not trusted.',
    ),
  ];
}

function frames(first: number, last: number): string {
  return first === last ? `frame ${hex(first)}` : `frames ${hex(first)}-${hex(last)}`;
}
