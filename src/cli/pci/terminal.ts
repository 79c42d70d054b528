/** A function's inspection for the terminal: facts, the BARs' pages, and what there is to say. */

import type { Inspection } from '../../pci/inspect.js';
import type { MsixPlace } from '../../pci/msix.js';
import { isPlaced } from '../../pci/sharing.js';
import { padEnd, type Style, table, wrap } from '../style.js';
import { type BarDrawing, drawingsOf, PAGE, type PieceKind, type Row } from './drawing.js';
import { classText, hex, sizeText } from './text.js';

/** Characters for a page, each for 128 bytes. */
const CELLS = 32;

const MARKS: Readonly<Record<PieceKind, string>> = { table: 'T', pba: 'P', other: '.' };

export function inspectionLines(inspection: Inspection, style: Style, columns: number): string[] {
  const { sbdf, label, msix, problems, notes } = inspection;
  return [
    `${style.heading(sbdf)}  ${label ?? (inspection.class === null ? '' : classText(inspection.class))}`.trimEnd(),
    ...wrap(factsLine(inspection), columns, '  ').map(style.quiet),
    ...(msix ? msixLines(inspection, style) : ['  no MSI-X']),
    ...drawingsOf(inspection).flatMap((drawing) => drawingLines(drawing, style)),
    ...problems.flatMap((text) => said('problem', text, style.bad, columns)),
    ...notes.flatMap((text) => said('note', text, style.warning, columns)),
  ];
}

function said(what: string, text: string, mark: (text: string) => string, columns: number): string[] {
  const [first = '', ...rest] = wrap(text, columns, ' '.repeat(11));
  return [`  ${mark(padEnd(what, 9))}${first.trimStart()}`, ...rest];
}

function factsLine({ id, class: kind, driver, irq, iommuGroup, resetMethods, physfn }: Inspection): string {
  return [
    ...(id === null ? [] : [id]),
    ...(kind === null ? [] : [`class ${kind}`]),
    ...(physfn === null ? [] : [`virtual function of ${physfn}`]),
    ...(driver === undefined ? [] : [driver === null ? 'no driver' : `driver ${driver}`]),
    ...(typeof irq === 'number' ? [`IRQ ${irq}`] : []),
    ...(typeof iommuGroup === 'number' ? [`IOMMU group ${iommuGroup}`] : []),
    ...(resetMethods === undefined ? [] : [`reset: ${resetMethods.join(' ') || 'none'}`]),
  ].join(', ');
}

function msixLines({ msix }: Inspection, style: Style): string[] {
  if (!msix || msix.vectors === null) return [`  ${style.warning('MSI-X: not known')}`];
  const states = [msix.enabled ? 'enabled' : 'not enabled', ...(msix.maskAll ? ['all masked'] : [])];
  const rows = [placeRow('table', msix.table), placeRow('pending bits', msix.pba)].map((row) => ['   ', ...row]);
  return [`  MSI-X, ${msix.vectors} vectors, ${states.join(', ')}`, ...table(rows)];
}

function placeRow(name: string, place: MsixPlace): string[] {
  const { bir, offset, bytes } = place;
  const at = bir === null || offset === null ? '' : `BAR ${bir} + ${hex(offset)}`;
  return [name, at, bytes === null ? '' : `${bytes} bytes`, framesText(place)];
}

/** The frames of a table, for people. */
export function framesText(place: MsixPlace): string {
  if (!isPlaced(place)) return 'frames not known';
  const { firstFrame, lastFrame } = place;
  return firstFrame === lastFrame ? `frame ${hex(firstFrame)}` : `frames ${hex(firstFrame)}-${hex(lastFrame)}`;
}

/** A BAR, a line for each page that is protected and for each run that is not. */
function drawingLines({ bar, rows }: BarDrawing, style: Style): string[] {
  const size = bar.size === null ? 'size not told' : sizeText(bar.size);
  return [
    `  BAR ${bar.index} at ${hex(bar.address)}, ${size}${bar.width === 64 ? ', 64-bit' : ''}`,
    ...table(
      rows.map((row) => ['   ', rowOffsets(row), cells(row, style), ...rowText(row, style)]),
      [],
    ),
  ];
}

export function rowOffsets({ offset, pages }: Row): string {
  const first = Math.max(0, offset);
  return pages === 1 ? hex(first) : `${hex(first)}-${hex(offset + pages * PAGE - 1)}`;
}

function cells({ pieces, protected: guarded, pages }: Row, style: Style): string {
  if (!guarded) return style.quiet(padEnd(pages === 1 ? '' : `${pages} pages`, CELLS));
  let marks = '';
  for (let i = 0; i < CELLS; i++) {
    const from = (i * PAGE) / CELLS;
    const here = pieces.filter((one) => one.from < from + PAGE / CELLS && one.to >= from);
    const [most] = (['table', 'pba', 'other'] as const).filter((kind) => here.some((one) => one.kind === kind));
    marks += most === undefined ? ' ' : MARKS[most];
  }
  // colours by runs, not by characters
  return marks.replace(/T+|P+/g, (run) => (run.startsWith('T') ? style.bad(run) : style.warning(run)));
}

function rowText({ firstFrame, pages, protected: guarded, others }: Row, style: Style): string[] {
  const frames = pages === 1 ? hex(firstFrame) : `${hex(firstFrame)}-${hex(firstFrame + pages - 1)}`;
  const also = others.length === 0 ? '' : `, with ${others.join(' and ')}`;
  return [frames, guarded ? style.bad(`read-only${also}`) : "the guest's"];
}

/** What the marks in the drawings mean. */
export function legend(style: Style): string {
  return style.quiet(
    'T MSI-X table   P pending bits   . other bytes of the BAR, 128 a character; offsets, then machine frames',
  );
}
