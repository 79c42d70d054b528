/** Where the pci commands get devices from: a saved dump, a folder copied from sysfs, or this machine. */

import { readFileSync, statSync } from 'node:fs';
import { formatSbdf, parseSbdf } from '../../abi/pci/sbdf.js';
import { isRelease, type Release } from '../../abi/release.js';
import type { PciFunction, PciSnapshot } from '../../pci/function.js';
import { type Machine, machineOf } from '../../pci/inspect.js';
import { parseLspci } from '../../pci/lspci.js';
import { readSysfs, readSysfsCopy, SYSFS_DEVICES } from '../../pci/sysfs.js';
import type { Context, Operand } from '../command.js';
import { CommandError, UsageError } from '../exit.js';

export const SOURCE: Operand = { name: 'FILE|SBDF', optional: true };

/** What every command that looks at devices says about its first operand. */
export const ABOUT_SOURCE =
  'FILE is text of `lspci -xxxx` (or -xxx, -vvxxx; - is the standard input) or a folder copied from /sys/bus/pci/devices, of any machine. SBDF is a device of this one, such as 0000:03:00.0 or 03:00.0; without either it is all of them.';

/** What a command looks at. */
export interface Source {
  readonly machine: Machine;
  /** The ones that are asked about: all, or one. */
  readonly chosen: readonly PciFunction[];
  /** What is wrong with the source as a whole. */
  readonly complaints: readonly string[];
}

/** Reads what the operands name: a source, and then perhaps one device of it. */
export async function readSource({ operands: [first, second], options }: Context): Promise<Source> {
  const own = first === undefined ? undefined : parseSbdf(first);
  const fromHere = first === undefined || own !== undefined;
  if (fromHere && second !== undefined) throw new UsageError(`'${second}' is one operand too many`);
  const demo = options.has('demo');
  if (demo && !fromHere) throw new UsageError(`--demo has devices of its own: it does not go with ${first}`);
  const snapshot = demo ? await readDemo() : fromHere ? readHere() : readFrom(first);
  const wanted = second === undefined ? own : readSbdf(second);
  const machine = machineOf(snapshot);
  const chosen = wanted === undefined ? machine.functions : machine.functions.filter(({ sbdf }) => sbdf === wanted);
  if (wanted !== undefined && chosen.length === 0) {
    const list = demo ? 'xenctrl pci list --demo' : fromHere ? 'xenctrl pci list' : `xenctrl pci list ${first}`;
    throw new CommandError(
      'ENODEV',
      `there is no device ${formatSbdf(wanted)}`,
      `\`${list}\` shows those that there are`,
    );
  }
  return { machine, chosen, complaints: snapshot.complaints };
}

/** Reads a device's address. @throws UsageError */
export function readSbdf(text: string): number {
  const sbdf = parseSbdf(text);
  if (sbdf !== undefined) return sbdf;
  throw new UsageError(`'${text}' is no device: they look like 0000:03:00.0 or 03:00.0`);
}

/** Loaded for it: the software Xen is large. */
async function readDemo(): Promise<PciSnapshot> {
  const { demoXen, modelSysfs } = await import('./dom0.js');
  return readSysfs(modelSysfs(demoXen()));
}

function readHere(): PciSnapshot {
  const snapshot = readSysfs();
  if (snapshot.functions.length > 0) return snapshot;
  const next = 'give the text of `lspci -xxxx` of another machine';
  throw new CommandError('ERR_NO_DEVICES', `this machine shows no devices in ${SYSFS_DEVICES}`, next);
}

function readFrom(path: string): PciSnapshot {
  let snapshot: PciSnapshot;
  try {
    const folder = path !== '-' && statSync(path).isDirectory();
    snapshot = folder ? readSysfsCopy(path) : parseLspci(readFileSync(path === '-' ? 0 : path, 'utf8'));
  } catch (error) {
    throw new UsageError(
      `${path} cannot be read: ${(error as NodeJS.ErrnoException).code}`,
      'give a file, a folder, or a device such as 0000:03:00.0',
    );
  }
  if (snapshot.functions.length > 0) return snapshot;
  throw new CommandError(
    'ERR_NO_DEVICES',
    `${path}: ${snapshot.complaints.join('; ')}`,
    'make it with `lspci -vvxxxx > FILE` as root',
  );
}

/** The release that the options name, or the one that runs here and its devices are looked at. */
export function releaseOf({ options, operands: [first] }: Context): { release?: Release } {
  const named = options.get('release');
  if (named !== undefined) return isRelease(named) ? { release: named } : {};
  if (first !== undefined && parseSbdf(first) === undefined) return {};
  const running = runningRelease();
  return running === undefined ? {} : { release: running };
}

/** The Xen that this machine runs on, as its kernel tells everybody. */
function runningRelease(): Release | undefined {
  try {
    const part = (name: string): string => readFileSync(`/sys/hypervisor/version/${name}`, 'utf8').trim();
    const text = `${part('major')}.${part('minor')}`;
    return isRelease(text) ? text : undefined;
  } catch {
    return undefined;
  }
}
