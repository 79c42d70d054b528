/**
 * ELF cores. Xen's (`docs/misc/dump-core-format.txt`) have the pages in a section `.xen_pages` and their frame numbers in
 * `.xen_pfn` (guests with their own memory map) or `.xen_p2m` (PV). Others have a program header for each range.
 */

import { ImageFormatError, type ImageRun, type ReadAt, readAt } from './image_run.js';

export const ELF_MAGIC = 0x464c_457f;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const PT_LOAD = 1;
const SHT_NOBITS = 8;
const MOST_NAMES = 65536;

export interface Section {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** @param size of the file */
export function readElf(read: ReadAt, size: number): ImageRun[] {
  const header = piece(read, 0, 64);
  if (header.getUint8(4) !== ELFCLASS64 || header.getUint8(5) !== ELFDATA2LSB) {
    throw new ImageFormatError('an ELF core must be of 64 bits, little-endian');
  }
  const sections = readSections(read, header);
  const pages = sections.get('.xen_pages');
  return pages ? xenRuns(read, sections, pages, size) : loadRuns(read, header, size);
}

/** The sections of an ELF file in memory. @throws ImageFormatError its structure is broken */
export function sectionsOf(bytes: Uint8Array): ReadonlyMap<string, Section> {
  const read: ReadAt = (offset, target) => {
    const piece = bytes.subarray(offset, offset + target.length);
    target.set(piece);
    return piece.length;
  };
  return readSections(read, piece(read, 0, 64));
}

function readSections(read: ReadAt, header: DataView): ReadonlyMap<string, Section> {
  const at = u64(header, 40);
  const entry = header.getUint16(58, true);
  const count = header.getUint16(60, true);
  const found = new Map<string, Section>();
  if (at === 0 || count === 0) return found;
  if (entry < 64) throw new ImageFormatError('the section headers of the ELF core are too small');
  const table = piece(read, at, entry * count);
  const raw = Array.from({ length: count }, (_, i) => ({
    name: table.getUint32(i * entry, true),
    type: table.getUint32(i * entry + 4, true),
    offset: u64(table, i * entry + 24),
    size: u64(table, i * entry + 32),
  }));
  const strings = raw[header.getUint16(62, true)];
  if (!strings) return found;
  const names = piece(read, strings.offset, Math.min(strings.size, MOST_NAMES));
  for (const { name, type, offset, size } of raw) {
    const text = stringAt(names, name);
    if (type !== SHT_NOBITS) found.set(text, { name: text, offset, size });
  }
  return found;
}

function xenRuns(read: ReadAt, sections: ReadonlyMap<string, Section>, pages: Section, fileSize: number): ImageRun[] {
  const list = sections.get('.xen_pfn') ?? sections.get('.xen_p2m');
  if (!list) throw new ImageFormatError("Xen's core has pages, but neither .xen_pfn nor .xen_p2m says of which frames");
  // a PV domain's entries are pairs: its own frame, and the machine's
  const entry = list.name === '.xen_p2m' ? 16 : 8;
  const count = Math.min(Math.floor(list.size / entry), Math.floor(pages.size / 4096));
  if (pages.offset + count * 4096 > fileSize) throw new ImageFormatError('the ELF core is cut off within .xen_pages');
  const frames = piece(read, list.offset, count * entry);
  const runs: { address: number; bytes: number; offset: number }[] = [];
  for (let i = 0; i < count; i++) {
    const frame = u64(frames, i * entry);
    if (frame >= 2 ** 40) continue; // not a frame: the page is of nobody
    const last = runs.at(-1);
    const offset = pages.offset + i * 4096;
    if (last && last.address + last.bytes === frame * 4096 && last.offset + last.bytes === offset) last.bytes += 4096;
    else runs.push({ address: frame * 4096, bytes: 4096, offset });
  }
  return runs;
}

function loadRuns(read: ReadAt, header: DataView, fileSize: number): ImageRun[] {
  const at = u64(header, 32);
  const entry = header.getUint16(54, true);
  const count = header.getUint16(56, true);
  if (count === 0 || entry < 56) throw new ImageFormatError('the ELF file has no memory in it: is it a core?');
  const table = piece(read, at, entry * count);
  const runs: ImageRun[] = [];
  for (let i = 0; i < count; i++) {
    if (table.getUint32(i * entry, true) !== PT_LOAD) continue;
    const offset = u64(table, i * entry + 8);
    const address = u64(table, i * entry + 24);
    const bytes = u64(table, i * entry + 32);
    if (!(offset + bytes <= fileSize && address + bytes <= 2 ** 52)) {
      throw new ImageFormatError(`program header ${i} of the ELF core goes beyond its end`);
    }
    runs.push({ address, bytes, offset });
  }
  return runs;
}

function u64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

/** Bytes that must be there. */
function piece(read: ReadAt, offset: number, length: number): DataView {
  // its last byte first: what the file says of lengths is not to be believed
  const end = offset + length;
  if (length > 0 && (end > Number.MAX_SAFE_INTEGER || read(end - 1, new Uint8Array(1)) === 0)) {
    throw new ImageFormatError(`the ELF core is cut off: it should have ${end} bytes`);
  }
  return readAt(read, offset, length);
}

function stringAt(view: DataView, at: number): string {
  let end = at;
  while (end < view.byteLength && view.getUint8(end) !== 0) end++;
  if (at >= view.byteLength) return '';
  return new TextDecoder('latin1').decode(new Uint8Array(view.buffer, view.byteOffset + at, end - at));
}
