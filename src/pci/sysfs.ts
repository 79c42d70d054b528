/**
 * Reads the folders that Linux has for PCI functions: of this machine, or a copy that somebody made of them.
 *
 * A copy may have lost what it likes: files that are not there are not told about. Links count by where they lead, not
 * by whether that is there.
 */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseSbdf } from '../abi/pci/sbdf.js';
import type { PciFunction, PciSnapshot, Region } from './function.js';
import { HostSysfs, readText, type Sysfs } from './sysfs_files.js';

/** Where a Linux has them. */
export const SYSFS_DEVICES = '/sys/bus/pci/devices';

/** Below a folder that somebody copied. */
const PLACES = ['.', 'bus/pci/devices', 'sys/bus/pci/devices', 'devices'];

/** `IORESOURCE_IO`, `_MEM` and `_UNSET` of Linux's `ioport.h`: the third number of a line in `resource`. */
const RESOURCE_IO = 0x100n;
const RESOURCE_MEM = 0x200n;
const RESOURCE_UNSET = 0x2000_0000n;
/** Lines in `resource`: the BARs come first, and then the ROM. */
const LINES = 7;

/** Reads all functions that a machine has. */
export function readSysfs(sysfs: Sysfs = new HostSysfs()): PciSnapshot {
  return { functions: functionsIn(sysfs, SYSFS_DEVICES), complaints: [] };
}

/**
 * Reads all functions below a folder that somebody copied: `/sys/bus/pci/devices`, or the tree that it is in.
 *
 * @throws the system's error when the folder cannot be read
 */
export function readSysfsCopy(folder: string): PciSnapshot {
  readdirSync(folder);
  for (const place of PLACES) {
    const functions = functionsIn(new HostSysfs(folder), place);
    if (functions.length > 0) return { functions, complaints: [] };
  }
  return { functions: [], complaints: [`${folder} has no folder of a PCI function in it, such as 0000:00:1f.2`] };
}

/** The functions whose folders are in one, in the order of their addresses. */
function functionsIn(sysfs: Sysfs, folder: string): PciFunction[] {
  return sysfs
    .list(folder)
    .flatMap((name) => {
      const sbdf = parseSbdf(name);
      return sbdf === undefined ? [] : [readFunction(sysfs, join(folder, name), sbdf)];
    })
    .sort((a, b) => a.sbdf - b.sbdf);
}

function readFunction(sysfs: Sysfs, folder: string, sbdf: number): PciFunction {
  const complaints: string[] = [];
  const file = (name: string): string | undefined => readText(sysfs, join(folder, name));
  const link = (name: string): string | undefined => sysfs.link(join(folder, name)) ?? undefined;
  const number = (text: string | undefined): number | undefined =>
    text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;

  const entries = sysfs.list(folder);
  // the one link that every function has: without it the copy has lost its links
  const linked = entries.includes('subsystem');
  const linkOrNone = (name: string): string | null | undefined =>
    entries.includes(name) ? link(name) : linked ? null : undefined;

  const config = readBytes(sysfs, join(folder, 'config'), complaints);
  const resource = file('resource');
  const resets = file('reset_method');
  const irq = number(file('irq'));
  const physfn = linkOrNone('physfn');
  const group = linkOrNone('iommu_group');
  const driver = linkOrNone('driver');
  const power = file('power_state');
  const virtfns = entries
    .filter((name) => /^virtfn\d+$/.test(name))
    .flatMap((name) => parseSbdf(link(name) ?? '') ?? [])
    .sort((a, b) => a - b);
  return {
    sbdf,
    config,
    ...(resource === undefined ? {} : { regions: readResource(resource, typeof physfn === 'string') }),
    ...(driver === undefined ? {} : { driver }),
    ...(group === undefined ? {} : { iommuGroup: group === null ? null : (number(group) ?? null) }),
    ...(resets !== undefined ? { resetMethods: resets.split(/\s+/).filter((name) => name !== '') } : {}),
    ...(irq === undefined ? {} : { irq: irq === 0 ? null : irq }),
    ...(entries.includes('irq') ? { msiIrqs: sysfs.list(join(folder, 'msi_irqs')).length } : {}),
    ...(physfn === undefined ? {} : { physfn: parseSbdf(physfn ?? '') ?? null }),
    ...(linked ? { virtfns } : {}),
    ...(power === undefined ? {} : { powerState: power }),
    complaints,
  };
}

function readBytes(sysfs: Sysfs, path: string, complaints: string[]): Uint8Array {
  try {
    const bytes = sysfs.read(path);
    if (bytes.length > 4096) complaints.push('config has more bytes than configuration space');
    return bytes.subarray(0, 4096);
  } catch (error) {
    complaints.push(`config cannot be read: ${(error as NodeJS.ErrnoException).code}`);
    return new Uint8Array(0);
  }
}

/** The lines of `resource` that are BARs and the ROM: start, end and flags. */
function readResource(text: string, virtual: boolean): Region[] {
  return text
    .split('\n')
    .slice(0, LINES)
    .flatMap((line, index) => {
      const found = /^(0x[0-9a-f]{1,16}) (0x[0-9a-f]{1,16}) (0x[0-9a-f]{1,16})$/.exec(line.trim());
      if (!found) return [];
      const [start = 0n, end = 0n, flags = 0n] = found.slice(1).map(BigInt);
      if ((flags & (RESOURCE_IO | RESOURCE_MEM)) === 0n || end < start) return [];
      const kind = (flags & RESOURCE_MEM) !== 0n ? ('memory' as const) : ('io' as const);
      const address = (flags & RESOURCE_UNSET) !== 0n ? null : start;
      return [{ index, kind, address, size: end - start + 1n, virtual }];
    });
}
