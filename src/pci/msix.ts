/** Where a function's MSI-X table and pending-bit array are in the machine, or why that cannot be told. */

import { readBarAt } from '../abi/pci/bar.js';
import {
  capabilityList,
  configProblem,
  PCI_BASE_ADDRESS_0,
  PCI_CAP_ID_MSIX,
  PCI_CFG_SPACE_SIZE,
  PCI_COMMAND,
  PCI_COMMAND_MEMORY,
  PCI_STD_HEADER_SIZEOF,
  readConfig,
} from '../abi/pci/config.js';
import {
  type FrameRange,
  type MsixRegion,
  msixFrames,
  msixPbaBytes,
  msixTableBytes,
  readMsixAt,
} from '../abi/pci/msix.js';
import { PCI_SRIOV_NUM_BARS } from '../abi/pci/sriov.js';
import { barsOf, hex, largestAt, type PlacedBar, sriovOf, type Unknown, type VirtualFunction } from './bars.js';
import { type Finding, type FindingCode, problem } from './finding.js';
import type { PciFunction } from './function.js';

/** The table or the PBA. What is null cannot be told, and a problem says why. */
export interface MsixPlace {
  /** Number of the BAR. */
  readonly bir: number | null;
  /** In the BAR, in bytes. */
  readonly offset: number | null;
  /** Length. */
  readonly bytes: number | null;
  /** Machine frames, the last one included. */
  readonly firstFrame: number | null;
  readonly lastFrame: number | null;
}

export interface Msix {
  readonly vectors: number | null;
  readonly enabled: boolean | null;
  readonly maskAll: boolean | null;
  readonly table: MsixPlace;
  readonly pba: MsixPlace;
}

export interface MsixAnswer {
  /** Null: the function has no such capability. */
  readonly msix: Msix | null;
  readonly findings: readonly Finding[];
}

const NOWHERE: MsixPlace = { bir: null, offset: null, bytes: null, firstFrame: null, lastFrame: null };
const UNKNOWN: Msix = { vectors: null, enabled: null, maskAll: null, table: NOWHERE, pba: NOWHERE };

/** What a function's capability says, of bytes or of text. */
interface Said {
  readonly vectors: number;
  readonly enabled: boolean;
  readonly maskAll: boolean;
  readonly table: MsixRegion;
  readonly pba: MsixRegion;
}

/** Finds the capability and the frames. `bars`: the function's; `vf`: what it is, if it is a virtual function. */
export function locateMsix(fn: PciFunction, bars: readonly PlacedBar[], vf: VirtualFunction | null): MsixAnswer {
  const findings: Finding[] = [];
  const said = capability(fn, findings);
  if (said === null) return { msix: null, findings };
  if (said === undefined) return { msix: UNKNOWN, findings };
  const off = decodeOff(fn, vf);
  if (off) findings.push(off);
  const table = frames(fn, bars, said.table, vf);
  const pba = frames(fn, bars, said.pba, vf);
  findings.push(...unknown(table, pba));
  if (overlap(said.table, said.pba)) {
    const text = 'The MSI-X table and the pending-bit array overlap: one of them is not where the capability says.';
    findings.push(problem('overlap', text));
  }
  const { vectors, enabled, maskAll } = said;
  const place = ({ bir, offset, bytes }: MsixRegion, found: FrameRange | Unknown): MsixPlace => {
    const { firstFrame, lastFrame } = 'why' in found || off ? NOWHERE : found;
    return { bir, offset, bytes, firstFrame, lastFrame };
  };
  return { msix: { vectors, enabled, maskAll, table: place(said.table, table), pba: place(said.pba, pba) }, findings };
}

/** What is not known, once when the reason is the same. */
function unknown(table: FrameRange | Unknown, pba: FrameRange | Unknown): Finding[] {
  const tableWhy = 'why' in table ? table : null;
  const pbaWhy = 'why' in pba ? pba : null;
  const say = (what: string, { code, why }: Unknown): Finding =>
    problem(code, `The frames of the ${what} cannot be told: ${why}.`, ADVICE[code]);
  if (tableWhy && pbaWhy?.why === tableWhy.why) return [say('MSI-X table and the pending-bit array', tableWhy)];
  return [...(tableWhy ? [say('MSI-X table', tableWhy)] : []), ...(pbaWhy ? [say('pending-bit array', pbaWhy)] : [])];
}

/** The capability; null: there is none; undefined: a finding says why it is not known. */
function capability({ config, spoken }: PciFunction, findings: Finding[]): Said | null | undefined {
  const bad = configProblem(config);
  if (bad !== undefined && config.length >= PCI_STD_HEADER_SIZEOF) {
    findings.push(
      problem(
        'gone',
        `${capital(bad)}.`,
        'Look at its slot and its power state, rescan the bus, and make the dump again.',
      ),
    );
    return undefined;
  }
  const { capabilities, problem: broken } = capabilityList(config);
  const found = capabilities.find(({ id }) => id === PCI_CAP_ID_MSIX);
  const bytes = found && readMsixAt(config, found.offset);
  if (bytes) {
    if (broken !== undefined) findings.push(brokenList(broken));
    return bytes;
  }
  if (broken === undefined && !found) return null;
  // the bytes end too early: text may say more than they do
  if (config.length < PCI_CFG_SPACE_SIZE) {
    if (spoken !== undefined) return spoken === null ? null : ofText(spoken, findings);
    const many = config.length === 0 ? 'no bytes' : `only ${config.length} bytes`;
    findings.push(
      problem(
        'unreadable',
        `There are ${many} of configuration space, and the capabilities are behind them: whether there is MSI-X cannot be told.`,
        'Run `lspci -xxxx` as root: others see 64 bytes.',
      ),
    );
    return undefined;
  }
  findings.push(brokenList(broken ?? 'the MSI-X capability is cut off by the end of configuration space'));
  return undefined;
}

function brokenList(broken: string): Finding {
  return problem(
    'capability-list',
    `${capital(broken)}: no capability behind that can be trusted.`,
    'Do not give this device away: reset it, and look again.',
  );
}

function ofText(
  { vectors, enabled, maskAll, table, pba }: NonNullable<PciFunction['spoken']>,
  findings: Finding[],
): Said | undefined {
  if (table.bir < 0 || pba.bir < 0 || vectors < 1 || vectors > 2048) {
    findings.push(
      problem('unreadable', 'The text says that there is MSI-X, but not where its table and pending-bit array are.'),
    );
    return undefined;
  }
  return {
    vectors,
    enabled,
    maskAll,
    table: { ...table, bytes: msixTableBytes(vectors) },
    pba: { ...pba, bytes: msixPbaBytes(vectors) },
  };
}

/** Why the function does not answer to memory addresses at all. */
function decodeOff({ config, decodes }: PciFunction, vf: VirtualFunction | null): Finding | undefined {
  if (vf) {
    if (!vf.sriov || (vf.sriov.enabled && vf.sriov.memoryEnabled)) return undefined;
    return problem(
      'decode-off',
      `Memory decoding is off in ${sriovOf(vf.pf)}: this virtual function has no memory now, and Xen answers ENXIO when its MSI-X is prepared.`,
      'Let the driver of the physical function enable them.',
    );
  }
  const command = readConfig(config, PCI_COMMAND, 2);
  if (command === undefined ? decodes !== false : (command & PCI_COMMAND_MEMORY) !== 0) return undefined;
  return problem(
    'decode-off',
    'Memory decoding is off in the command register, so the device answers at none of its addresses: the frames are not told, and Xen answers ENXIO (-6) when its MSI-X is prepared.',
    'Bind a driver that enables the device, or set bit 1 of the command register, once its BARs have addresses.',
  );
}

/** What to do where the place of a table is not known. */
const ADVICE: { readonly [code in FindingCode]?: string } = {
  unassigned: 'Have the kernel assign it (boot with pci=realloc, or remove the device and rescan), and look again.',
  disagreement: 'The device was reset and not restored, or the dump is of two moments: restore it, and look again.',
  'virtual-function': 'Inspect a dump of the whole machine with `lspci -vvxxxx`, or a copy of sysfs.',
  bir: 'The capability is broken: Xen refuses MSI-X for this device.',
  'past-end': 'The capability or the BAR is broken: do not give this device away.',
};

/** The frames of a region, or why they cannot be told. */
function frames(
  fn: PciFunction,
  bars: readonly PlacedBar[],
  region: MsixRegion,
  vf: VirtualFunction | null,
): FrameRange | Unknown {
  const { bir } = region;
  const count = vf ? PCI_SRIOV_NUM_BARS : barsOf(fn);
  if (bir >= count) return { code: 'bir', why: `it is in BAR ${bir}, and this header has ${count}` };
  const upper = bars.find(({ index, width }) => width === 64 && index + 1 === bir);
  if (upper) return { code: 'bir', why: `it is in BAR ${bir}, which is the upper half of BAR ${upper.index}` };
  const bar = bars.find(({ index }) => index === bir);
  if (!bar) return missing(fn, bir, vf);
  if (bar.kind === 'io') return { code: 'bir', why: `it is in BAR ${bir}, which is of I/O ports` };
  const { address, size } = bar;
  if (address === null) return bar.unknown ?? { code: 'unassigned', why: `BAR ${bir} has no address` };
  const end = BigInt(region.offset + region.bytes);
  const most = size ?? largestAt(address);
  if (end > most) {
    const has =
      size === null ? `a BAR at ${hex(address)} has ${hex(most)} bytes at most` : `which has ${hex(most)} bytes`;
    return { code: 'past-end', why: `it ends at ${hex(end)} of BAR ${bir}, ${size === null ? 'and ' : ''}${has}` };
  }
  const found = msixFrames(region, address);
  return 'problem' in found ? { code: 'unassigned', why: found.problem } : found;
}

/** Why there is no such BAR. */
function missing(fn: PciFunction, bir: number, vf: VirtualFunction | null): Unknown {
  if (vf) {
    const why = vf.sriov
      ? `there is no BAR ${bir} in ${sriovOf(vf.pf)}`
      : `${sriovOf(vf.pf)} has its BARs, and is not in the dump`;
    return { code: 'virtual-function', why };
  }
  if (fn.config.length < PCI_STD_HEADER_SIZEOF)
    return { code: 'unassigned', why: `the text has no address of BAR ${bir}` };
  const reading = readBarAt(fn.config, PCI_BASE_ADDRESS_0, bir, barsOf(fn));
  if ('problem' in reading) return { code: 'bir', why: reading.problem };
  return { code: 'unassigned', why: `BAR ${bir} has no address` };
}

function overlap(a: MsixRegion, b: MsixRegion): boolean {
  return a.bir === b.bir && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
