/** domctl: calls on one domain. */

import * as ctl from '../abi/domctl.js';
import type { Struct } from '../abi/layout.js';
import { type Release, releaseAbi } from '../abi/release.js';
import { decodeMonitorOp } from './decode_monitor.js';
import { DEVICE_DOMCTLS } from './decode_physdev.js';
import type { Context, Decoded, DecodedValue, DecodedValues } from './decoded.js';
import { fieldOf, Operand } from './operand.js';

const OP = ctl.xen_domctl;
/** The most bytes of a vCPU context that are decoded. */
const MOST_CONTEXT = 2 ** 20;

/** One domctl under way. */
interface Call {
  readonly context: Context;
  readonly release: Release;
  /** The whole structure, and its union. */
  readonly operand: Operand;
  readonly u: Operand;
}

interface Told {
  /** For an operation that stands for several calls. */
  readonly name?: string;
  readonly args?: DecodedValues;
  readonly out?: () => DecodedValues;
  readonly exact?: boolean;
}

type Tell = readonly [name: string, tell: (call: Call) => Told];

const nothing = (): Told => ({});

const CALLS: Readonly<Record<number, Tell>> = {
  [ctl.XEN_DOMCTL_createdomain]: ['xc_domain_create', createDomain],
  [ctl.XEN_DOMCTL_destroydomain]: ['xc_domain_destroy', nothing],
  [ctl.XEN_DOMCTL_pausedomain]: ['xc_domain_pause', nothing],
  [ctl.XEN_DOMCTL_unpausedomain]: ['xc_domain_unpause', nothing],
  [ctl.XEN_DOMCTL_getdomaininfo]: ['xc_domain_getinfo_single', getInfo],
  [ctl.XEN_DOMCTL_max_mem]: [
    'xc_domain_setmaxmem',
    ({ u }) => ({ args: { max_memkb: u.value(ctl.xen_domctl_max_mem.fields.max_memkb) } }),
  ],
  [ctl.XEN_DOMCTL_max_vcpus]: [
    'xc_domain_max_vcpus',
    ({ u }) => ({ args: { max: u.value(ctl.xen_domctl_max_vcpus.fields.max) } }),
  ],
  [ctl.XEN_DOMCTL_setdomainhandle]: [
    'xc_domain_sethandle',
    ({ u }) => ({ args: { handle: uuid(u.bytes(ctl.xen_domctl_setdomainhandle.fields.handle)) } }),
  ],
  [ctl.XEN_DOMCTL_gethvmcontext]: [
    'xc_domain_hvm_getcontext',
    ({ u }) => ({
      args: { size: u.value(ctl.xen_domctl_hvmcontext.fields.size) },
      out: () => ({ size: u.value(ctl.xen_domctl_hvmcontext.fields.size) }),
    }),
  ],
  [ctl.XEN_DOMCTL_sethvmcontext]: ['xc_domain_hvm_setcontext', setContext],
  [ctl.XEN_DOMCTL_set_access_required]: [
    'xc_domain_set_access_required',
    ({ u }) => ({ args: { required: u.value(ctl.xen_domctl_set_access_required.fields.access_required) } }),
  ],
  [ctl.XEN_DOMCTL_vm_event_op]: ['xc_vm_event_control', vmEvent],
  [ctl.XEN_DOMCTL_monitor_op]: ['xc_monitor', ({ u }) => decodeMonitorOp(u)],
  [ctl.XEN_DOMCTL_get_paging_mempool_size]: [
    'xc_get_paging_mempool_size',
    ({ u }) => ({ out: () => ({ bytes: u.u64(0) }) }),
  ],
  ...DEVICE_DOMCTLS,
  [ctl.XEN_DOMCTL_set_paging_mempool_size]: ['xc_set_paging_mempool_size', ({ u }) => ({ args: { bytes: u.u64(0) } })],
};

/** Null: the structure cannot be read, or is another release's. */
export function decodeDomctl(context: Context, address: number): Decoded | null {
  const operand = Operand.at(context.arena, address, OP.size);
  const { release } = context;
  if (!operand || release === null) return null;
  const cmd = operand.u32(OP.fields.cmd);
  const domid = operand.u32(OP.fields.domain);
  const version = operand.u32(OP.fields.interface_version);
  const known = CALLS[cmd];
  if (!known || version !== releaseAbi(release).domctl) {
    return { name: 'domctl', domid, args: { cmd, interface_version: version }, exact: false };
  }
  const [name, tell] = known;
  const u = operand.within(OP.at.u, OP.size - OP.at.u);
  const told = tell({ context, release, operand, u });
  return { domid, args: {}, exact: true, name, ...told };
}

/** Every field that the release has, by libxc's names without the dots. */
function createDomain({ release, operand, u }: Call): Told {
  const layout = ctl.xen_domctl_createdomain.for(release);
  const args: Record<string, DecodedValue> = {};
  for (const [name, field] of Object.entries(layout.fields)) {
    if (name === 'handle') args[name] = uuid(u.bytes(field));
    else if (SIGNED.has(name)) args[name] = u.s32(field);
    else args[PLAIN_NAMES[name] ?? name] = u.value(field);
  }
  return { args, out: () => ({ domid: operand.u32(OP.fields.domain) }) };
}

/** Settings of which -1 means "Xen's own default". */
const SIGNED: ReadonlySet<string> = new Set(['max_grant_frames', 'max_maptrack_frames']);
const PLAIN_NAMES: Readonly<Record<string, string>> = {
  'arch.emulation_flags': 'emulation_flags',
  'arch.misc_flags': 'misc_flags',
  'altp2m.opts': 'altp2m_opts',
  'altp2m.nr': 'altp2m_nr',
};

function getInfo({ release, operand, u }: Call): Told {
  const layout = ctl.xen_domctl_getdomaininfo.for(release);
  return { out: () => ({ domain: operand.u32(OP.fields.domain), ...domainInfo(u, layout) }) };
}

/** What a `getdomaininfo` says that does not change by itself, and the pages. */
export function domainInfo(info: Operand, layout: Struct): DecodedValues & Readonly<Record<string, number>> {
  const flags = info.u32(fieldOf(layout, 'flags'));
  const is = (bit: number): number => (flags & bit ? 1 : 0);
  const reason = (flags >>> ctl.XEN_DOMINF_shutdownshift) & ctl.XEN_DOMINF_shutdownmask;
  return {
    dying: is(ctl.XEN_DOMINF_dying),
    paused: is(ctl.XEN_DOMINF_paused),
    shutdown_reason: is(ctl.XEN_DOMINF_shutdown) ? reason : -1,
    hvm: is(ctl.XEN_DOMINF_hvm_guest),
    hap: is(ctl.XEN_DOMINF_hap),
    max_vcpu_id: info.s32(fieldOf(layout, 'max_vcpu_id')),
    nr_online_vcpus: info.u32(fieldOf(layout, 'nr_online_vcpus')),
    tot_pages: Number(info.value(fieldOf(layout, 'tot_pages'))),
    max_pages: Number(info.value(fieldOf(layout, 'max_pages'))),
  };
}

function setContext({ context, u }: Call): Told {
  const size = u.u32(ctl.xen_domctl_hvmcontext.fields.size);
  const address = Number(u.value(ctl.xen_domctl_hvmcontext.fields.buffer));
  const buffer = size <= MOST_CONTEXT ? Operand.at(context.arena, address, size) : null;
  if (!buffer) return { args: { size, buffer: address }, exact: false };
  return { args: { context: buffer.hex([0, size]) } };
}

function vmEvent({ u }: Call): Told {
  const { op, mode, 'u.enable.port': port } = ctl.xen_domctl_vm_event_op.fields;
  // rings are memory that both sides share: there is no making such a call again from its arguments
  return { args: { op: u.u32(op), mode: u.u32(mode) }, exact: false, out: () => ({ port: u.u32(port) }) };
}

function uuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
