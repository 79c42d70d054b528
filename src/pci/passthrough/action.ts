/** The single deeds of which giving a device away and taking it back are made. They are data, so that a journal keeps them. */

import { DOMID_IO } from '../../abi/xen.js';
import { XenError } from '../../hypervisor/error.js';
import { xc_assign_device, xc_deassign_device } from '../../xc/assign_device.js';
import type { XcInterface } from '../../xc/interface.js';
import {
  xc_domain_iomem_permission,
  xc_domain_ioport_permission,
  xc_domain_irq_permission,
} from '../../xc/io_permission.js';
import { xc_physdev_map_pirq, xc_physdev_unmap_pirq } from '../../xc/physdev.js';
import { readText, type Sysfs } from '../sysfs_files.js';

/**
 * An interrupt line; or the file that tells it, once the driver that uses MSI has let go: until then sysfs shows the
 * first of those instead.
 */
export type Line = number | string;

/** `XEN_DOMCTL_DEV_RDM_RELAXED` is the only flag of `assign`. */
export type Action =
  | { readonly do: 'write'; readonly path: string; readonly text: string }
  | {
      readonly do: 'iomem';
      readonly domid: number;
      readonly first: number;
      readonly count: number;
      readonly allow: boolean;
    }
  | {
      readonly do: 'ioport';
      readonly domid: number;
      readonly first: number;
      readonly count: number;
      readonly allow: boolean;
    }
  | { readonly do: 'map-pirq'; readonly domid: number; readonly irq: Line }
  | { readonly do: 'unmap-pirq'; readonly domid: number; readonly irq: Line }
  | { readonly do: 'irq'; readonly domid: number; readonly irq: Line; readonly allow: boolean }
  | { readonly do: 'assign'; readonly domid: number; readonly sbdf: number; readonly flags: number }
  | { readonly do: 'deassign'; readonly domid: number; readonly sbdf: number };

/** What actions are done to. */
export interface Dom0 {
  readonly sysfs: Sysfs;
  readonly xch: XcInterface;
}

/** Does it. @throws XenError, or the system's error of a file */
export function perform(action: Action, { sysfs, xch }: Dom0): void {
  switch (action.do) {
    case 'write':
      sysfs.write(action.path, action.text);
      return;
    case 'iomem':
      xc_domain_iomem_permission(xch, action.domid, action.first, action.count, action.allow);
      return;
    case 'ioport':
      xc_domain_ioport_permission(xch, action.domid, action.first, action.count, action.allow);
      return;
    case 'map-pirq':
      withLine(action.irq, sysfs, (irq) => xc_physdev_map_pirq(xch, action.domid, irq, irq));
      return;
    case 'unmap-pirq':
      withLine(action.irq, sysfs, (irq) => xc_physdev_unmap_pirq(xch, action.domid, irq));
      return;
    case 'irq':
      withLine(action.irq, sysfs, (irq) => xc_domain_irq_permission(xch, action.domid, irq, action.allow));
      return;
    case 'assign':
      xc_assign_device(xch, action.domid, action.sbdf, action.flags);
      return;
    case 'deassign':
      xc_deassign_device(xch, action.domid, action.sbdf);
  }
}

/** Nothing is done for a device that turns out to have no line. */
function withLine(line: Line, sysfs: Sysfs, action: (irq: number) => void): void {
  const irq = typeof line === 'number' ? line : Number(readText(sysfs, line));
  if (!Number.isInteger(irq)) throw new Error(`${line} has no interrupt line`);
  if (irq !== 0) action(irq);
}

/**
 * Whether an error says that there was nothing to do: the domain has gone, and all that it had with it; or it does not
 * have what was to be taken from it. Only who repeats or undoes an action may take it for that.
 */
export function isNothingToDo(action: Action, error: unknown): boolean {
  if (!(error instanceof XenError)) return false;
  if (error.code === 'ESRCH') return 'domid' in action && action.domid !== DOMID_IO;
  if (action.do === 'unmap-pirq') return error.code === 'EINVAL';
  // nobody forbids what he may not do himself, and nobody has allowed it then
  if ('allow' in action) return !action.allow && error.code === 'EPERM';
  return action.do === 'deassign' && error.code === 'ENODEV';
}

/** What a file shows when a step has been done. */
export type Mark =
  /** `gone`: when the link does not lead there any more. */
  | { readonly link: string; readonly leadsTo: string; readonly gone?: boolean }
  | { readonly file: string; readonly line: string };

/** One step, with the way back. */
export interface Step {
  /** In words, as a command. */
  readonly what: string;
  readonly action: Action;
  /** Null: there is none, and none is needed. */
  readonly inverse: Action | null;
  /** Where it can be seen whether the step is done; Xen's cannot. */
  readonly mark?: Mark;
}

/** Whether a step's effect is there; undefined: nobody can see it. */
export function isDone({ mark }: Step, { sysfs }: Dom0): boolean | undefined {
  if (!mark) return undefined;
  if ('link' in mark) return (sysfs.link(mark.link) === mark.leadsTo) !== (mark.gone ?? false);
  return hasLine(sysfs, mark.file, mark.line);
}

/** Whether a line is in a file. */
export function hasLine(sysfs: Sysfs, file: string, line: string): boolean {
  return (readText(sysfs, file) ?? '').split('\n').includes(line);
}
