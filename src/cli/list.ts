/** `xenctrl list`: the domains. */

import { SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot, SHUTDOWN_suspend } from '../abi/sched.js';
import { XenError } from '../hypervisor/error.js';
import type { DomainInfo } from '../xc/domain_info.js';
import type { Command, Outcome } from './command.js';
import { XEN_OPTIONS } from './option_list.js';
import { onXen, type Session } from './session.js';
import { type Style, table } from './style.js';

/** A domain, as the command tells of it. */
export interface ListedDomain {
  readonly domid: number;
  readonly name: string | null;
  readonly uuid: string;
  readonly type: 'hvm' | 'pv';
  readonly vcpus: number;
  readonly memoryKiB: number;
  readonly maxMemoryKiB: number;
  readonly state: string;
  /** Null: not running any more is no error. */
  readonly shutdownReason: string | null;
  readonly cpuSeconds: number;
  /** Null: it is PV, or this Xen does not tell. */
  readonly altp2m: string | null;
}

const REASONS: Readonly<Record<number, string>> = {
  [SHUTDOWN_poweroff]: 'poweroff',
  [SHUTDOWN_reboot]: 'reboot',
  [SHUTDOWN_suspend]: 'suspend',
  [SHUTDOWN_crash]: 'crash',
};

/** What a domain is doing, in a word. */
function stateOf(info: DomainInfo): string {
  if (info.dying) return 'dying';
  if (info.shutdown) return 'shutdown';
  if (info.paused) return 'paused';
  return info.running ? 'running' : info.blocked ? 'idle' : 'ready';
}

function altp2mOf({ xen }: Session, info: DomainInfo): string | null {
  if (!info.hvm_guest) return null;
  try {
    return xen.domain(info.domain).altp2m.mode;
  } catch (error) {
    if (error instanceof XenError) return null; // gone since, or not told to this caller
    throw error;
  }
}

export function describe(session: Session, info: DomainInfo): ListedDomain {
  return {
    domid: info.domain,
    name: session.nameOf(info.handle),
    uuid: info.handle,
    type: info.hvm_guest ? 'hvm' : 'pv',
    vcpus: info.nr_online_vcpus,
    memoryKiB: info.tot_pages * 4,
    maxMemoryKiB: info.max_pages * 4,
    state: stateOf(info),
    shutdownReason: info.shutdown_reason === null ? null : (REASONS[info.shutdown_reason] ?? `${info.shutdown_reason}`),
    cpuSeconds: Number(info.cpu_time) / 1e9,
    altp2m: altp2mOf(session, info),
  };
}

function rowOf(domain: ListedDomain, names: boolean, style: Style): string[] {
  const { state, shutdownReason: reason } = domain;
  const shown = reason === null ? state : `${state} (${reason})`;
  const colour = state === 'running' || state === 'idle' ? style.good : style.warning;
  return [
    String(domain.domid),
    ...(names ? [domain.name ?? '-'] : []),
    style.quiet(domain.uuid),
    domain.type.toUpperCase(),
    String(domain.vcpus),
    String(Math.round(domain.memoryKiB / 1024)),
    colour(shown),
    domain.altp2m ?? '-',
  ];
}

function listDomains(session: Session): Outcome {
  const domains = session.xen.list().map((info) => describe(session, info));
  return {
    json: domains,
    text: (style) => {
      const names = session.hasNames;
      const head = ['ID', ...(names ? ['NAME'] : []), 'UUID', 'TYPE', 'VCPUS', 'MIB', 'STATE', 'ALTP2M'];
      const right = [0, names ? 4 : 3, names ? 5 : 4];
      return table([head.map(style.heading), ...domains.map((domain) => rowOf(domain, names, style))], right);
    },
  };
}

export const list: Command = {
  name: 'list',
  summary: 'list the domains',
  description: ['ALTP2M is the mode that the domain was created with; `xenctrl altp2m status` tells whether it is on.'],
  options: XEN_OPTIONS,
  examples: [
    ['list', 'the domains of this host'],
    ['list --json | jq ".[].uuid"', 'their UUIDs'],
    ['list --backend model', 'those of a software Xen'],
  ],
  run: (context) => onXen(context, listDomains),
};
