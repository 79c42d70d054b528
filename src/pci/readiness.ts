/** Whether a function can be given to a guest as it is: drivers, resets, groups, power. */

import {
  capabilityList,
  configProblem,
  headerType,
  PCI_CAP_ID_AF,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_PM,
  PCI_CFG_SPACE_SIZE,
  PCI_HEADER_TYPE_NORMAL,
  readConfig,
} from '../abi/pci/config.js';
import { formatSbdf } from '../abi/pci/sbdf.js';
import { readSriov } from '../abi/pci/sriov.js';
import type { PlacedBar } from './bars.js';
import { type Finding, note, problem } from './finding.js';
import type { PciFunction } from './function.js';
import type { Machine } from './inspect.js';
import type { Msix } from './msix.js';
import { barPages } from './pages.js';

/** The driver that keeps functions for guests. */
export const PCIBACK = 'pciback';

/** In the PCI Express capability: device capabilities, and in them that there is a function level reset. */
const PCI_EXP_DEVCAP = 4;
const PCI_EXP_DEVCAP_FLR = 0x1000_0000;
/** In the advanced features capability: the same. */
const PCI_AF_CAP = 3;
const PCI_AF_CAP_FLR = 2;
/** In the power management capability: going to D3hot and back does not reset. */
const PCI_PM_CTRL = 4;
const PCI_PM_CTRL_NO_SOFT_RESET = 8;

/** What stands in the way of giving the function away, and what to know about it. */
export function readiness(fn: PciFunction, msix: Msix | null, bars: readonly PlacedBar[], machine: Machine): Finding[] {
  if (configProblem(fn.config) !== undefined && fn.config.length > 0) return power(fn);
  if (isBridge(fn)) return [note('bridge', 'This is a bridge: bridges are not given to guests.')];
  return [
    ...power(fn),
    ...driver(fn, msix),
    ...masked(fn, msix),
    ...reset(fn),
    ...group(fn, machine),
    ...virtual(fn),
    ...small(fn, bars, machine),
  ];
}

/** Whether a function's header is not an endpoint's. */
export function isBridge({ config, label = '' }: PciFunction): boolean {
  if (config.length === 0) return /^(?:PCI|CardBus) bridge\b|^060[47]:/.test(label);
  return configProblem(config) === undefined && headerType(config) !== PCI_HEADER_TYPE_NORMAL;
}

function power({ powerState }: PciFunction): Finding[] {
  if (powerState !== 'D3cold') return [];
  const text = 'The device is in D3cold, without power: nothing of it can be read, and all ones come instead.';
  return [problem('power', text, 'Write `on` to power/control in its sysfs folder.')];
}

function driver({ driver: name, sbdf }: PciFunction, msix: Msix | null): Finding[] {
  if (name === undefined || name === null) return [];
  if (name === PCIBACK) {
    const prepared = msix ? ' It has prepared MSI-X in Xen, so that another prepare answers EBUSY.' : '';
    return [note('pciback', `pciback keeps it for guests.${prepared}`)];
  }
  const used = msix?.enabled ? ' and uses its MSI-X, so that Xen answers EBUSY when that is prepared' : '';
  return [
    note(
      'driver',
      `The driver ${name} has it${used}.`,
      `\`xenctrl pci attach ${formatSbdf(sbdf)} DOMAIN\` unbinds it first.`,
    ),
  ];
}

function masked({ sbdf }: PciFunction, msix: Msix | null): Finding[] {
  if (!msix?.maskAll) return [];
  return [
    problem(
      'masked',
      'All vectors are masked (MASKALL is set in the MSI-X control register): to Xen the device was not reset properly, and assigning it answers EBUSY.',
      `Reset it: \`echo 1 > /sys/bus/pci/devices/${formatSbdf(sbdf)}/reset\`.`,
    ),
  ];
}

function reset({ resetMethods, config }: PciFunction): Finding[] {
  const stays = 'what one guest leaves in the device reaches the next';
  if (resetMethods) {
    return resetMethods.length > 0
      ? []
      : [
          problem(
            'reset',
            `The kernel has no way to reset it: ${stays}.`,
            'Give it to one guest only, or power the machine off in between.',
          ),
        ];
  }
  if (config.length < PCI_CFG_SPACE_SIZE || resetsItself(config)) return [];
  return [
    note('reset', `It has no reset of its own (FLR, or by power states): unless its whole bus is reset, ${stays}.`),
  ];
}

/** Whether configuration space offers a reset of the function alone. */
function resetsItself(config: Uint8Array): boolean {
  return capabilityList(config).capabilities.some(({ id, offset }) => {
    switch (id) {
      case PCI_CAP_ID_EXP:
        return ((readConfig(config, offset + PCI_EXP_DEVCAP, 4) ?? 0) & PCI_EXP_DEVCAP_FLR) !== 0;
      case PCI_CAP_ID_AF:
        return ((readConfig(config, offset + PCI_AF_CAP, 1) ?? 0) & PCI_AF_CAP_FLR) !== 0;
      case PCI_CAP_ID_PM:
        return (
          ((readConfig(config, offset + PCI_PM_CTRL, 2) ?? PCI_PM_CTRL_NO_SOFT_RESET) & PCI_PM_CTRL_NO_SOFT_RESET) === 0
        );
      default:
        return false;
    }
  });
}

function group({ iommuGroup, sbdf }: PciFunction, { groups }: Machine): Finding[] {
  if (typeof iommuGroup !== 'number') return [];
  const others = (groups.get(iommuGroup) ?? []).filter((one) => one !== sbdf);
  if (others.length === 0) return [];
  const names = others.slice(0, 8).map(formatSbdf).join(', ');
  const more = others.length > 8 ? ` and ${others.length - 8} more` : '';
  const text = `IOMMU group ${iommuGroup} also has ${names}${more}: they cannot be kept from each other's memory.`;
  return [problem('group', text, 'Give all of them to the same guest.')];
}

function virtual({ config }: PciFunction): Finding[] {
  const sriov = readSriov(config);
  if (!sriov?.enabled || sriov.numVfs === 0) return [];
  const text = `${sriov.numVfs} virtual functions of it are enabled: they end when it changes hands.`;
  return [
    problem(
      'virtual-function',
      text,
      'Keep it in dom0 and give virtual functions away, or write 0 to its sriov_numvfs.',
    ),
  ];
}

/** BARs that do not have their pages for themselves. */
function small({ sbdf }: PciFunction, bars: readonly PlacedBar[], { pages }: Machine): Finding[] {
  return bars.flatMap((bar) => {
    const mine = barPages(sbdf, bar);
    if (!mine) return [];
    return pages.overlapping(mine.firstFrame, mine.lastFrame, 4).flatMap((other) => {
      if (other.sbdf === sbdf) {
        if (other.bar.index <= bar.index) return [];
        const text = `BAR ${bar.index} and BAR ${other.bar.index} are in one page: a guest that maps them apart may crash.`;
        return [note('small-bars', text)];
      }
      const text = `BAR ${bar.index} shares a page with BAR ${other.bar.index} of ${formatSbdf(other.sbdf)}: a guest that gets the one can reach the other.`;
      return [problem('small-bars', text, 'Have the kernel align BARs to pages (pci=resource_alignment=4096@...).')];
    });
  });
}
