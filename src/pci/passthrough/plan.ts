/** What giving a device to a guest takes, in the order in which `xl pci-attach` does it, and what forbids it. */

import { XEN_DOMCTL_DEV_RDM_RELAXED } from '../../abi/passthrough.js';
import { capabilityList, PCI_CAP_ID_MSI, readConfig } from '../../abi/pci/config.js';
import { formatSbdf, sbdfSegment } from '../../abi/pci/sbdf.js';
import { DOMID_INVALID, DOMID_IO } from '../../abi/xen.js';
import { XenError } from '../../hypervisor/error.js';
import { xc_get_device_group, xc_test_assign_device } from '../../xc/assign_device.js';
import { type DomainInfo, xc_domain_getinfo_single } from '../../xc/domain_info.js';
import type { FindingCode } from '../finding.js';
import { sentence } from '../finding.js';
import { type PciFunction, type Region, ROM } from '../function.js';
import { inspect, type Machine, machineOf } from '../inspect.js';
import { isBridge, PCIBACK } from '../readiness.js';
import { readSysfs, SYSFS_DEVICES } from '../sysfs.js';
import { type Dom0, hasLine, type Step } from './action.js';
import { usersOf } from './users.js';

export interface Plan {
  readonly sbdf: number;
  readonly domid: number;
  /** The domain's UUID: its id may be another's some day. */
  readonly uuid: string;
  /** Why it must not be done. Nothing does it all the same. */
  readonly refusals: readonly string[];
  /** What to know before it is done. */
  readonly warnings: readonly string[];
  readonly steps: readonly Step[];
  /** What only the toolstack can do, in words. */
  readonly toolstack: readonly string[];
}

export interface PlanOptions {
  /** Text of `/proc/self/mountinfo`: disks that are mounted. */
  readonly mounts?: string;
}

/** Findings that end a plan. Any other problem is a warning. */
const FORBIDDING: ReadonlySet<FindingCode> = new Set([
  'gone',
  'unreadable',
  'capability-list',
  'bir',
  'unassigned',
  'decode-off',
  'past-end',
  'disagreement',
  'virtual-function',
  'overlap',
  'shared-function',
  'small-bars',
  'masked',
  'group',
  'power',
  'bridge',
]);

const DRIVERS = '/sys/bus/pci/drivers';

/**
 * Plans giving a device to a domain. Reads only.
 *
 * @throws XenError `ESRCH`: there is no such domain
 */
export function planAttach(dom0: Dom0, sbdf: number, domid: number, { mounts = '' }: PlanOptions = {}): Plan {
  const domain = xc_domain_getinfo_single(dom0.xch, domid);
  const machine = machineOf(readSysfs(dom0.sysfs));
  const fn = machine.functions.find((one) => one.sbdf === sbdf);
  const plan = { sbdf, domid, uuid: domain.handle, toolstack: toolstack(domain) };
  if (!fn) return { ...plan, refusals: [`There is no device ${formatSbdf(sbdf)}.`], warnings: [], steps: [] };
  const { findings } = inspect(fn, machine);
  const forbids = findings.filter(
    ({ code, level }) => (level === 'problem' || code === 'bridge') && FORBIDDING.has(code),
  );
  const refusals = [
    ...(domid === 0 ? ['Domain 0 has all devices that nobody else has.'] : []),
    ...forbids.map(sentence),
    ...usersOf(dom0.sysfs, folderOf(sbdf), mounts).map((user) => `Dom0 uses it: ${user}.`),
    ...(hasPciback(dom0) ? [] : ["Dom0's kernel has no pciback driver: load xen-pciback."]),
    ...xenRefusals(dom0, fn, machine),
  ];
  const warnings = findings.filter((one) => one.level === 'problem' && !forbids.includes(one)).map(sentence);
  return { ...plan, refusals, warnings, steps: [...seize(dom0, fn), ...give(fn, domid)] };
}

/** A function's folder. */
export function folderOf(sbdf: number): string {
  return `${SYSFS_DEVICES}/${formatSbdf(sbdf)}`;
}

function hasPciback({ sysfs }: Dom0): boolean {
  return sysfs.list(`${DRIVERS}/${PCIBACK}`).includes('new_slot');
}

/** What Xen knows that sysfs does not: other guests, and what its IOMMU cannot keep apart. */
function xenRefusals({ xch }: Dom0, { sbdf }: PciFunction, { functions }: Machine): string[] {
  try {
    xc_test_assign_device(xch, DOMID_INVALID, sbdf);
  } catch (error) {
    if (!(error instanceof XenError)) throw error;
    if (error.code === 'EINVAL') return ['Another guest has it, or Xen does not know it.'];
    if (error.code !== 'EOPNOTSUPP' && error.code !== 'ENOSYS') throw error;
    return ['Xen has no IOMMU to use: the device would reach the memory of all domains.'];
  }
  const bridges = new Set(functions.filter(isBridge).map((one) => one.sbdf));
  const others = xc_get_device_group(xch, 0, sbdf, 64)
    .map((sdev) => sbdfSegment(sbdf) * 0x1_0000 + (sdev >>> 8))
    .filter((one) => one !== sbdf && !bridges.has(one));
  if (others.length === 0) return [];
  return [
    `The IOMMU cannot tell it from ${others.map(formatSbdf).join(', ')}, which dom0 has: pciback must have all of them.`,
  ];
}

/** Taking it from dom0: what pciback does not have already. */
function seize({ sysfs }: Dom0, { sbdf, driver }: PciFunction): Step[] {
  const name = formatSbdf(sbdf);
  const link = `${folderOf(sbdf)}/driver`;
  const pciback = `${DRIVERS}/${PCIBACK}`;
  // the file is there where the kernel has a way to do it
  const reset: Step[] = sysfs.list(folderOf(sbdf)).includes('reset')
    ? [{ what: `reset ${name}`, action: { do: 'write', path: `${folderOf(sbdf)}/reset`, text: '1' }, inverse: null }]
    : [];
  if (driver === PCIBACK) return reset;
  const slot = hasLine(sysfs, `${pciback}/slots`, name);
  return [
    ...(driver ? [unbind(name, driver, link)] : []),
    ...(slot
      ? []
      : [
          {
            what: `make a slot for ${name} in pciback`,
            action: { do: 'write', path: `${pciback}/new_slot`, text: name },
            inverse: { do: 'write', path: `${pciback}/remove_slot`, text: name },
            mark: { file: `${pciback}/slots`, line: name },
          } satisfies Step,
        ]),
    {
      what: `bind ${name} to pciback, which prepares its MSI-X in Xen`,
      action: { do: 'write', path: `${pciback}/bind`, text: name },
      inverse: { do: 'write', path: `${pciback}/unbind`, text: name },
      mark: { link, leadsTo: PCIBACK },
    },
    {
      what: `put ${name} into quarantine: its DMA reaches no memory`,
      action: { do: 'assign', domid: DOMID_IO, sbdf, flags: 0 },
      inverse: { do: 'deassign', domid: DOMID_IO, sbdf },
    },
    ...reset,
  ];
}

function unbind(name: string, driver: string, link: string): Step {
  return {
    what: `unbind ${name} from ${driver}`,
    action: { do: 'write', path: `${DRIVERS}/${driver}/unbind`, text: name },
    inverse: { do: 'write', path: `${DRIVERS}/${driver}/bind`, text: name },
    mark: { link, leadsTo: driver, gone: true },
  };
}

/** What the domain gets: ports, frames, the interrupt line, and last the device itself. */
function give(fn: PciFunction, domid: number): Step[] {
  const { sbdf, regions = [] } = fn;
  const name = formatSbdf(sbdf);
  return [
    ...regions.flatMap((region) => permit(region, domid)),
    ...interrupt(fn, domid),
    {
      what: `assign ${name} to domain ${domid}`,
      action: { do: 'assign', domid, sbdf, flags: XEN_DOMCTL_DEV_RDM_RELAXED },
      inverse: { do: 'deassign', domid, sbdf },
    },
  ];
}

function permit({ index, kind, address, size }: Region, domid: number): Step[] {
  if (address === null || size === null) return [];
  const io = kind === 'io';
  const first = io ? Number(address) : Number(address >> 12n);
  const last = io ? Number(address + size - 1n) : Number((address + size - 1n) >> 12n);
  const count = last - first + 1;
  const of = index === ROM ? 'the ROM' : `BAR ${index}`;
  const range = io ? 'ports' : 'frames';
  const what = `let domain ${domid} use ${range} 0x${first.toString(16)}-0x${last.toString(16)} (${of})`;
  const does = io ? 'ioport' : 'iomem';
  return [
    {
      what,
      action: { do: does, domid, first, count, allow: true },
      inverse: { do: does, domid, first, count, allow: false },
    },
  ];
}

/** The interrupt line, where there is one. */
function interrupt({ irq: told, config, sbdf }: PciFunction, domid: number): Step[] {
  const irq = usesMsi(config) ? `${folderOf(sbdf)}/irq` : told;
  if (irq === undefined || irq === null) return [];
  const what = typeof irq === 'number' ? `interrupt ${irq}` : `the interrupt line of ${formatSbdf(sbdf)}`;
  return [
    {
      what: `map ${what} for domain ${domid}`,
      action: { do: 'map-pirq', domid, irq },
      inverse: { do: 'unmap-pirq', domid, irq },
    },
    {
      what: `let domain ${domid} use ${what}`,
      action: { do: 'irq', domid, irq, allow: true },
      inverse: { do: 'irq', domid, irq, allow: false },
    },
  ];
}

/** In the MSI capability: its control register, and in that the switch. */
const PCI_MSI_FLAGS = 2;
const PCI_MSI_FLAGS_ENABLE = 1;

/** Whether its driver has switched MSI on (MSI-X is another matter). */
function usesMsi(config: Uint8Array): boolean {
  return capabilityList(config).capabilities.some(
    ({ id, offset }) =>
      id === PCI_CAP_ID_MSI && ((readConfig(config, offset + PCI_MSI_FLAGS, 2) ?? 0) & PCI_MSI_FLAGS_ENABLE) !== 0,
  );
}

function toolstack({ hvm_guest, domain }: DomainInfo): string[] {
  return [
    ...(hvm_guest
      ? [`have the device model of domain ${domain} plug the device in (QMP device_add xen-pci-passthrough)`]
      : []),
    `write the backend's and the frontend's nodes of the device into xenstore, so that domain ${domain} sees it`,
  ];
}
