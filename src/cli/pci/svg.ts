/** The pages of BARs as an SVG picture, which stands alone: no script, no font, nothing loaded. */

import { writeFileSync } from 'node:fs';
import type { Inspection } from '../../pci/inspect.js';
import { CommandError } from '../exit.js';
import { type BarDrawing, drawingsOf, PAGE, type PieceKind, type Row } from './drawing.js';
import { rowOffsets } from './terminal.js';
import { hex, sizeText } from './text.js';

const WIDTH = 900;
/** Where the pages begin, and how wide one is. */
const LEFT = 200;
const PAGE_WIDTH = 512;
const ROW = 26;

const CLASSES: Readonly<Record<PieceKind, string>> = { table: 'table', pba: 'pba', other: 'other' };

const STYLE = `
    text { font: 13px system-ui, sans-serif; fill: #1b1f24 }
    .name { font-weight: bold; font-size: 15px }
    .quiet, .number { fill: #57606a }
    .number { font-family: ui-monospace, monospace; font-size: 12px }
    .page { fill: #f6f8fa; stroke: #8c959f }
    .free { fill: #dafbe1; stroke: #8c959f }
    .table { fill: #cf222e }
    .pba { fill: #bf8700 }
    .other { fill: url(#stripes) }
    .stripe { stroke: #8c959f }
    .back { fill: #ffffff }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .quiet, .number { fill: #8b949e }
      .page { fill: #161b22; stroke: #6e7681 }
      .free { fill: #12261e; stroke: #6e7681 }
      .back { fill: #0d1117 }
    }`;

/** Writes the picture. @throws CommandError when it cannot be written */
export function writeSvg(path: string, inspections: readonly Inspection[]): void {
  try {
    writeFileSync(path, svgOf(inspections));
  } catch (error) {
    const { code = 'EIO' } = error as NodeJS.ErrnoException;
    throw new CommandError(
      code,
      `${path} cannot be written: ${code}`,
      'name a file in a folder that is there, and yours',
    );
  }
}

/** The picture of all devices whose frames are known. */
export function svgOf(inspections: readonly Inspection[]): string {
  const body: string[] = [];
  let y = 16;
  for (const inspection of inspections) {
    const drawings = drawingsOf(inspection);
    if (drawings.length === 0) continue;
    const { sbdf, label, msix } = inspection;
    y += 18;
    body.push(text(16, y, `${sbdf}${label === null ? '' : `  ${label}`}`, 'name'));
    y += 20;
    body.push(text(16, y, `${msix?.vectors} MSI-X vectors`, 'quiet'));
    for (const drawing of drawings) y = barOf(drawing, y + 24, body);
    y += 20;
  }
  if (body.length === 0) {
    y += 20;
    body.push(text(16, y, 'no MSI-X table whose frames are known', 'quiet'));
  }
  y += 14;
  body.push(...legend(y));
  const height = y + 30;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
  <title>MSI-X pages of PCI devices</title>
  <desc>Pages that Xen makes read-only for guests, and what is in them</desc>
  <style>${STYLE}
  </style>
  <defs><pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse"><path class="stripe" d="M0 6 6 0"/></pattern></defs>
  <rect class="back" width="${WIDTH}" height="${height}"/>
${body.map((line) => `  ${line}`).join('\n')}
</svg>
`;
}

function barOf({ bar, rows }: BarDrawing, y: number, body: string[]): number {
  const size = bar.size === null ? 'size not told' : sizeText(bar.size);
  body.push(text(16, y, `BAR ${bar.index} at ${hex(bar.address)}, ${size}`, ''));
  y += 8;
  for (const row of rows) {
    rowOf(row, y, body);
    y += ROW;
  }
  return y;
}

function rowOf(row: Row, y: number, body: string[]): void {
  const { firstFrame, pages, pieces, protected: guarded, others } = row;
  const frames = pages === 1 ? hex(firstFrame) : `${hex(firstFrame)}-${hex(firstFrame + pages - 1)}`;
  body.push(text(16, y + 17, rowOffsets(row), 'number'), text(LEFT + PAGE_WIDTH + 12, y + 13, frames, 'number'));
  body.push(box(LEFT, y, PAGE_WIDTH, ROW - 4, guarded ? 'page' : 'free'));
  for (const { kind, from, to } of pieces) {
    const scale = PAGE_WIDTH / PAGE;
    body.push(box(LEFT + from * scale, y + 1, Math.max(1, (to + 1 - from) * scale), ROW - 6, CLASSES[kind]));
  }
  const free = pages === 1 ? "the guest's" : `${pages} pages, the guest's`;
  if (!guarded) body.push(text(LEFT + 8, y + 16, free, 'quiet'));
  else if (others.length > 0) body.push(text(LEFT + PAGE_WIDTH + 12, y + 25, `with ${others.join(', ')}`, 'quiet'));
}

function legend(y: number): string[] {
  const entries = [
    ['table', 'MSI-X table: read-only'],
    ['pba', 'pending bits: read-only'],
    ['other', 'in the same page: read-only, too'],
    ['free', "the guest's"],
  ] as const;
  return entries.flatMap(([kind, what], i) => [
    box(16 + i * 220, y, 14, 14, kind),
    text(36 + i * 220, y + 12, what, 'quiet'),
  ]);
}

function box(x: number, y: number, width: number, height: number, kind: string): string {
  return `<rect class="${kind}" x="${round(x)}" y="${y}" width="${round(width)}" height="${height}"/>`;
}

function text(x: number, y: number, value: string, kind: string): string {
  return `<text class="${kind}" x="${x}" y="${y}">${escaped(value)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Labels come from a file, where there may be anything. */
function escaped(value: string): string {
  const entities: Readonly<Record<string, string>> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;' };
  return value.replace(/[\p{Cc}\p{Cs}\p{Cn}]/gu, '').replace(/[<>&"]/g, (one) => entities[one] ?? one);
}
