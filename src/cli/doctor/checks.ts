/** What the doctor looks at, one thing after the other. */

import type { Prerequisite } from '../../xc/altp2m_diagnose.js';
import { DEVICES, type MachineFacts } from './machine.js';

/** `note`: worth knowing, and nothing is wrong. `unknown`: it could not be found out. */
export type Health = 'ok' | 'missing' | 'note' | 'unknown';

export interface Check {
  readonly section: string;
  readonly name: string;
  readonly health: Health;
  readonly detail: string;
  /** What mends it. */
  readonly fix?: string;
}

const MACHINE = 'This machine';
const BACKENDS = 'Backends';

/** What a backend says about itself: why it does not work here, or null. */
export type Refusals = Readonly<Record<'privcmd' | 'libxen', string | null>>;

export function machineChecks(facts: MachineFacts): Check[] {
  const libc = facts.libc === null ? '' : `, ${facts.libc}`;
  return [
    { section: MACHINE, name: 'Node', health: 'ok', detail: `${facts.node} on ${facts.platform}${libc}` },
    xenCheck(facts),
    ...(facts.onXen ? Object.keys(DEVICES).map((path) => deviceCheck(path, facts)) : []),
  ];
}

function xenCheck({ onXen, dom0 }: MachineFacts): Check {
  const check = { section: MACHINE, name: 'Xen' };
  if (!onXen) return { ...check, health: 'note', detail: 'this machine does not run on Xen: the software model works' };
  if (dom0 === false) {
    const detail = 'this is a guest of a Xen, not its dom0: most calls need dom0';
    return { ...check, health: 'missing', detail, fix: 'run this in dom0' };
  }
  return { ...check, health: 'ok', detail: dom0 === true ? 'this is dom0' : 'this machine runs on Xen' };
}

function deviceCheck(path: string, { devices }: MachineFacts): Check {
  const check = { section: MACHINE, name: path };
  const purpose = DEVICES[path] ?? '';
  switch (devices[path]) {
    case 'ok':
      return { ...check, health: 'ok', detail: purpose };
    case 'denied':
      return { ...check, health: 'missing', detail: `${purpose}: this user may not open it`, fix: 'run as root: sudo' };
    default:
      return path === '/dev/xen/hypercall'
        ? { ...check, health: 'note', detail: `${purpose}: absent before Linux 4.18, locked memory does instead` }
        : { ...check, health: 'missing', detail: `${purpose}: absent`, fix: `modprobe xen-${path.split('/').at(-1)}` };
  }
}

/** @param auto the backend that `auto` takes; null: none works */
export function backendChecks(facts: MachineFacts, refusals: Refusals, auto: string | null): Check[] {
  // one real backend is enough; on a machine without Xen none is expected
  const missing = facts.onXen && refusals.privcmd !== null && refusals.libxen !== null ? 'missing' : 'note';
  const real = (['privcmd', 'libxen'] as const).map((name): Check => {
    const why = refusals[name];
    return { section: BACKENDS, name, health: why === null ? 'ok' : missing, detail: why ?? 'works' };
  });
  return [
    addonCheck(facts),
    libraryCheck(facts),
    ...real,
    { section: BACKENDS, name: 'model', health: 'ok', detail: 'works everywhere' },
    auto === null
      ? { section: BACKENDS, name: 'auto', health: 'missing', detail: 'finds no way to the Xen of this machine' }
      : { section: BACKENDS, name: 'auto', health: 'ok', detail: `takes ${auto}` },
  ];
}

function addonCheck({ addon, platform }: MachineFacts): Check {
  const check = { section: BACKENDS, name: 'native addon' };
  if (addon.addon !== null) return { ...check, health: 'ok', detail: addon.path };
  return { ...check, health: platform.startsWith('linux') ? 'note' : 'unknown', detail: addon.reason };
}

function libraryCheck({ ffi, libraries }: MachineFacts): Check {
  const check = { section: BACKENDS, name: "Xen's libraries" };
  if (libraries === null) return { ...check, health: 'ok', detail: `load, through ${ffi.join(' or ')}` };
  return { ...check, health: 'note', detail: libraries };
}

/** Name of the check that `altp2m=1` passes. */
export const BOOT_OPTION = 'boot option';

/** Names of what altp2m needs, for people. */
const PREREQUISITES: Readonly<Record<string, string>> = {
  'xen-release': 'release',
  'hypervisor-hvm': 'HVM guests',
  processor: 'processor',
  'boot-option': BOOT_OPTION,
  'hypervisor-altp2m': 'altp2m',
  domain: 'exists',
  'domain-hvm': 'type',
  'domain-hap': 'paging',
  'altp2m-mode': 'altp2m mode',
  'nested-virt': 'nesting',
  'paging-pool': 'paging pool',
};

export function prerequisiteCheck(section: string, { name, ok, detail, fix }: Prerequisite): Check {
  const check = { section, name: PREREQUISITES[name] ?? name, detail };
  if (ok === true) return { ...check, health: 'ok' };
  return { ...check, health: ok === null ? 'unknown' : 'missing', ...(fix === undefined ? {} : { fix }) };
}
