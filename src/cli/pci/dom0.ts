/** The dom0 in which the commands that give devices away work: this machine's, or a software Xen's. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { e1000e, ModelSysfs, ModelXen, nvme } from '../../model/index.js';
import type { Dom0 } from '../../pci/passthrough/action.js';
import { Journal, JournalError } from '../../pci/passthrough/journal.js';
import { planAttach } from '../../pci/passthrough/plan.js';
import { attach, PassthroughError } from '../../pci/passthrough/transaction.js';
import { HostSysfs } from '../../pci/sysfs_files.js';
import { Xen } from '../../xen/xen.js';
import type { Context, Outcome } from '../command.js';
import { CommandError, UsageError } from '../exit.js';
import { XEN_OPTIONS } from '../option_list.js';
import { onSession, onXen, Session } from '../session.js';

/** What a command works with. */
export interface Workplace {
  readonly dom0: Dom0;
  readonly session: Session;
  readonly journal: Journal;
  /** `/proc/self/mountinfo`. */
  readonly mounts: string;
}

const DRIVERS = { '0000:00:10.0': 'e1000e', '0000:00:11.0': 'nvme' };

/** The devices of a software Xen's dom0, with the drivers that they would have. */
export function modelSysfs(xen: ModelXen): ModelSysfs {
  return new ModelSysfs(xen.pci, { drivers: DRIVERS, irqs: { '0000:00:10.0': 10, '0000:00:11.0': 11 } });
}

/** The software Xen of `--demo`. */
export function demoXen(): ModelXen {
  const xen = new ModelXen({ pci: { devices: [e1000e(), nvme()] } });
  xen.createGuest({ memoryPages: 256, iommu: true });
  return xen;
}

function demoSession(): Session {
  const xen = Xen.open({ hypervisor: demoXen() });
  return new Session(xen, new Map([[xen.domain(1).uuid, 'demo']]));
}

/** Runs a command in dom0, and says what a user may run into without a stack. */
export async function onDom0(context: Context, run: (place: Workplace) => Outcome): Promise<Outcome> {
  const { options } = context;
  if (!options.has('demo')) return await onXen(context, (session) => inDom0(context, session, run));
  const clash = XEN_OPTIONS.find(({ name }) => options.has(name));
  if (clash) throw new UsageError(`--demo is a software Xen of its own: it does not go with --${clash.name}`);
  return await onSession(demoSession, (session) => inDom0(context, session, run));
}

function inDom0({ options }: Context, session: Session, run: (place: Workplace) => Outcome): Outcome {
  const { xch } = session.xen;
  const { hypervisor } = xch;
  const model = hypervisor instanceof ModelXen ? hypervisor : null;
  const state = options.get('state');
  // what a software Xen forgets is not to be found by the next command
  const passing = model && state === undefined ? mkdtempSync(join(tmpdir(), 'xenctrl-pci-')) : null;
  try {
    return run({
      dom0: { xch, sysfs: model ? modelSysfs(model) : new HostSysfs() },
      session,
      journal: new Journal(state ?? passing ?? undefined),
      mounts: model ? '' : readFileSync('/proc/self/mountinfo', 'utf8'),
    });
  } catch (error) {
    throw explained(error);
  } finally {
    if (passing !== null) rmSync(passing, { recursive: true, force: true });
  }
}

/** For `detach --demo`: the device is given away first. */
export function giveAway({ dom0, journal }: Workplace, sbdf: number): void {
  attach(dom0, planAttach(dom0, sbdf, 1), { journal });
}

function explained(error: unknown): unknown {
  if (error instanceof PassthroughError) {
    const [text = '', next] = error.message.split(/(?<=\.) (?=`xenctrl)/);
    return new CommandError(error.code, text, next ?? nextOf(error));
  }
  if (error instanceof JournalError) {
    return new CommandError(
      error.code,
      `what was done cannot be noted: ${error.message}`,
      '--state names another folder',
    );
  }
  return error;
}

function nextOf({ code }: PassthroughError): string | undefined {
  if (code === 'ERR_PCI_REFUSED') return '`xenctrl pci inspect` explains more';
  return code === 'ERR_PCI_UNKNOWN' ? '`xenctrl pci list` shows the devices' : undefined;
}
