/** Saved dumps of real machines, and made-up ones as text. */

import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatSbdf } from '#dist/abi/pci/sbdf.js';
import { type Inspection, inspectAll } from '#dist/pci/inspect.js';
import { parseLspci } from '#dist/pci/lspci.js';
import { scratchFolder } from '../scratch.js';

const FOLDER = fileURLToPath(new URL('../../../test/pci/dumps/', import.meta.url));

export function dumpPath(name: string): string {
  return join(FOLDER, name);
}

export function dump(name: string): string {
  return readFileSync(dumpPath(name), 'utf8');
}

interface Saved {
  readonly files: Readonly<Record<string, string>>;
  readonly links: Readonly<Record<string, string>>;
  readonly config: string;
  readonly configBytes: number;
  readonly msi_irqs?: readonly string[];
}

/** The saved sysfs as a folder again. @param place where in it the devices are */
export function sysfsFolder(place = '.'): string {
  const root = scratchFolder();
  const saved = JSON.parse(dump('q35-sysfs.json')) as Record<string, Saved>;
  for (const [name, { files, links, config, configBytes, msi_irqs }] of Object.entries(saved)) {
    const folder = join(root, place, name);
    mkdirSync(folder, { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
    for (const [link, target] of Object.entries(links)) symlinkSync(target, join(folder, link));
    const bytes = new Uint8Array(configBytes);
    bytes.set(Buffer.from(config, 'hex'));
    writeFileSync(join(folder, 'config'), bytes);
    if (msi_irqs) mkdirSync(join(folder, 'msi_irqs'));
    for (const irq of msi_irqs ?? []) writeFileSync(join(folder, 'msi_irqs', irq), 'msix\n');
  }
  return root;
}

/** Configuration space as lspci prints it. */
export function hexLines(config: Uint8Array): string {
  let text = '';
  for (let at = 0; at < config.length; at += 16) {
    const bytes = [...config.subarray(at, at + 16)].map((byte) => byte.toString(16).padStart(2, '0'));
    text += `${at.toString(16).padStart(2, '0')}: ${bytes.join(' ')}\n`;
  }
  return text;
}

/** Text of `lspci -xxxx` for functions with these bytes. */
export function lspciText(functions: ReadonlyMap<number, Uint8Array>): string {
  return [...functions]
    .map(([sbdf, config]) => `${formatSbdf(sbdf)} Unclassified device [00ff]: Device\n${hexLines(config)}`)
    .join('\n');
}

/** Inspects a dump of one function with these bytes. */
export function inspectBytes(config: Uint8Array): Inspection {
  const [inspection] = inspectAll(parseLspci(lspciText(new Map([[0x300, config]]))));
  if (!inspection) throw new Error('the dump has no device');
  return inspection;
}

/** `table` and `pba` as frames, in short. */
export function framesOf({ msix }: Inspection): readonly (number | null)[] | null {
  return msix && [msix.table.firstFrame, msix.table.lastFrame, msix.pba.firstFrame, msix.pba.lastFrame];
}
