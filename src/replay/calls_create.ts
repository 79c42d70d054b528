/** Creating domains: the call itself, and the step that makes a whole guest. */

import {
  XEN_DOMCTL_CDF_hap,
  XEN_DOMCTL_CDF_hvm,
  XEN_DOMCTL_CDF_nested_virt,
  XEN_X86_EMU_LAPIC,
} from '../abi/domctl.js';
import {
  HVM_SAVE_CODE_CPU,
  HVM_SAVE_CODE_END,
  hvm_hw_cpu,
  hvm_save_descriptor,
  hvm_save_header,
} from '../abi/hvm/save.js';
import { xc_domain_max_vcpus } from '../xc/domain.js';
import { type DomainConfig, xc_domain_create } from '../xc/domain_create.js';
import { xc_domain_hvm_getcontext, xc_domain_hvm_setcontext } from '../xc/hvm_context.js';
import type { XcInterface } from '../xc/interface.js';
import { xc_domain_populate_physmap_exact, xc_domain_setmaxmem } from '../xc/memory.js';
import type { CallTable } from './call.js';
import { u32 } from './expected.js';
import { Fields } from './fields.js';
import { storeBytes } from './memory.js';
import type { Session } from './session.js';

const MODES = ['disabled', 'mixed', 'external', 'limited'] as const;
/** Bounds on what a recording can have the model hold: frames mapped one by one, and in superpages. */
const MOST_FRAMES = 2 ** 18;
const MOST_SUPERFRAMES = 2 ** 30;
const MOST_VCPUS = 8192;
const PAGE_SIZE = 4096;
/** 2 MiB and 1 GiB: what toolstacks back a guest's memory with. */
const SUPERPAGES = [18, 9] as const;

/** A guest as a createGuest step describes it. */
export interface GuestPlan {
  /** The id that it had when it was recorded; 0: any. */
  readonly domid: number;
  readonly config: DomainConfig;
  readonly altp2mMode: number;
  readonly views: number | null;
  readonly maxmemKiB: number;
  readonly populate: { readonly first: number; readonly count: number } | null;
  readonly superpages: boolean;
  readonly memory: ReadonlyMap<number, Uint8Array>;
  readonly driven: boolean;
  /** vCPUs that run from the start; null: the first, at the recordings' program. */
  readonly online: number | null;
}

export function readGuestPlan(fields: Fields): GuestPlan {
  fields.ignore('guest');
  const hvm = fields.oneOf('type', ['hvm', 'pv']) === 'hvm';
  const hap = fields.boolean('hap');
  const nested = fields.boolean('nestedVirt');
  const vcpus = fields.integer('vcpus', 1, MOST_VCPUS);
  const altp2mMode = MODES.indexOf(fields.oneOf('altp2mModeAtCreate', MODES));
  const views = fields.has('nrAltp2m') ? fields.u16('nrAltp2m') : null;
  const config: DomainConfig = {
    flags: (hvm ? XEN_DOMCTL_CDF_hvm : 0) | (hap ? XEN_DOMCTL_CDF_hap : 0) | (nested ? XEN_DOMCTL_CDF_nested_virt : 0),
    max_vcpus: vcpus,
    max_grant_frames: 4,
    max_maptrack_frames: 16,
    arch: { emulation_flags: hvm ? XEN_X86_EMU_LAPIC : 0 },
  };
  const superpages = fields.has('pages') && fields.oneOf('pages', ['4K', 'best']) === 'best';
  return {
    domid: fields.has('domid') ? fields.u16('domid') : 0,
    config,
    altp2mMode,
    views,
    maxmemKiB: fields.integer('maxmemKiB', 0, Number.MAX_SAFE_INTEGER),
    populate: readPopulate(fields, superpages ? MOST_SUPERFRAMES : MOST_FRAMES),
    superpages,
    memory: readMemory(fields.object('memory')),
    driven: fields.has('driven') ? fields.boolean('driven') : true,
    online: fields.has('online') ? fields.integer('online', 0, vcpus) : null,
  };
}

function readPopulate(fields: Fields, most: number): GuestPlan['populate'] {
  if (fields.raw('populate') === null) return null;
  const populate = fields.object('populate');
  const first = populate.integer('first', 0, Number.MAX_SAFE_INTEGER - most);
  const count = populate.integer('count', 0, most);
  populate.end();
  return { first, count };
}

function readMemory(fields: Fields): Map<number, Uint8Array> {
  const pages = new Map<number, Uint8Array>();
  for (const key of fields.keys()) {
    const page = new Fields({ gfn: Number(key), bytes: fields.raw(key) }, fields.place(key));
    pages.set(page.integer('gfn', 0, Number.MAX_SAFE_INTEGER), page.bytes('bytes', { most: PAGE_SIZE }));
  }
  return pages;
}

/** Makes the guest, as a toolstack does: paused, with its memory and the state of its first vCPU. */
export function createGuest(session: Session, plan: GuestPlan): void {
  const { xch } = session;
  session.current = null;
  const domid = xc_domain_create(xch, plan.domid, {
    ...plan.config,
    // grant tables: version 2, where the caller chooses
    ...(session.since('4.16') && { grant_opts: 2 }),
    // up to 4.18 the mode is a parameter, set later
    ...(session.since('4.19') && {
      altp2m: { opts: plan.altp2mMode, ...(plan.views !== null && { nr: plan.views }) },
    }),
  });
  session.enter(domid, plan.driven);
  xc_domain_max_vcpus(xch, domid, plan.config.max_vcpus);
  if (plan.maxmemKiB > 0) xc_domain_setmaxmem(xch, domid, plan.maxmemKiB);
  if (!plan.populate) return;
  populate(session, domid, plan.populate, plan.superpages);
  for (const [gfn, bytes] of plan.memory) storeBytes(session, domid, gfn, bytes);
  if (plan.driven) session.load(domid);
  if (plan.config.flags & XEN_DOMCTL_CDF_hvm) startVcpus(xch, domid, plan.online);
}

function populate(
  { xch }: Session,
  domid: number,
  { first, count }: { readonly first: number; readonly count: number },
  superpages: boolean,
): void {
  const end = first + count;
  for (let gfn = first; gfn < end; ) {
    const order = superpages ? (SUPERPAGES.find((size) => gfn % 2 ** size === 0 && gfn + 2 ** size <= end) ?? 0) : 0;
    const frames = [gfn];
    gfn += 2 ** order;
    while (order === 0 && gfn < end && frames.length < 4096 && !(superpages && gfn % 512 === 0)) frames.push(gfn++);
    xc_domain_populate_physmap_exact(xch, domid, order, 0, frames);
  }
}

/** Gives vCPUs their state, which starts them. @param online how many, all zero; null: the one of the program */
function startVcpus(xch: XcInterface, domid: number, online: number | null): void {
  const D = hvm_save_descriptor;
  const header = D.size + hvm_save_header.size;
  const cpus = online ?? 1;
  const record = D.size + hvm_hw_cpu.size;
  const context = new Uint8Array(header + cpus * record + D.size);
  context.set(xc_domain_hvm_getcontext(xch, domid).subarray(0, header));
  const view = new DataView(context.buffer);
  for (let id = 0; id < cpus; id++) {
    const at = header + id * record;
    view.setUint16(at + D.at.typecode, HVM_SAVE_CODE_CPU, true);
    view.setUint16(at + D.at.instance, id, true);
    view.setUint32(at + D.at.length, hvm_hw_cpu.size, true);
  }
  view.setUint16(header + cpus * record + D.at.typecode, HVM_SAVE_CODE_END, true);
  if (online === null) encodeProgram(new DataView(context.buffer, header + D.size, hvm_hw_cpu.size));
  xc_domain_hvm_setcontext(xch, domid, context);
}

/** The state in which the recordings' program starts: 32-bit, flat, paging off, at frame 0x10. */
function encodeProgram(cpu: DataView): void {
  const R = hvm_hw_cpu.at;
  const put = (offset: number, value: number): void => cpu.setUint32(offset, value, true);
  for (const limit of [R.cs_limit, R.ds_limit, R.es_limit, R.ss_limit]) put(limit, 0xffff_ffff);
  for (const rights of [R.ds_arbytes, R.es_arbytes, R.ss_arbytes]) put(rights, 0xc93);
  put(R.cs_arbytes, 0xc9b);
  put(R.tr_limit, 0x67);
  put(R.tr_arbytes, 0x8b);
  put(R.cr0, 0x11);
  put(R.rip, 0x1_0000);
  put(R.dr6, 0xffff_0ff0);
  put(R.dr7, 0x400);
}

export const CREATE_CALLS: CallTable = {
  xc_domain_create: {
    needsNoGuest: true,
    out: { domid: u32 },
    prepare: (args, { expectedOut }) => {
      const config = readConfig(args);
      const wanted = Object(expectedOut)['domid'];
      return (session, domid) => {
        // the id that Xen chose then is asked for now, so that later rows find the domain
        const made = xc_domain_create(session.xch, typeof wanted === 'number' ? wanted : domid, config(session));
        session.enter(made, false);
        return { domid: made };
      };
    },
  },
};

function readConfig(args: Fields): (session: Session) => DomainConfig {
  const optional = (key: string): number | undefined => (args.has(key) ? args.u32(key) : undefined);
  const signed = (key: string): number | undefined =>
    args.has(key) ? args.integer(key, -0x8000_0000, 0x7fff_ffff) : undefined;
  const config: DomainConfig = {
    flags: args.u32('flags'),
    max_vcpus: args.u32('max_vcpus'),
    ssidref: optional('ssidref'),
    handle: args.has('handle') ? args.string('handle') : undefined,
    iommu_opts: optional('iommu_opts'),
    max_evtchn_port: optional('max_evtchn_port'),
    max_grant_frames: signed('max_grant_frames'),
    max_maptrack_frames: signed('max_maptrack_frames'),
    vmtrace_size: optional('vmtrace_size'),
    cpupool_id: optional('cpupool_id'),
    arch: { emulation_flags: optional('emulation_flags'), misc_flags: optional('misc_flags') },
  };
  const grants = optional('grant_opts');
  const opts = args.has('altp2m_opts') ? args.u16('altp2m_opts') : 0;
  const nr = args.has('altp2m_nr') ? args.u16('altp2m_nr') : undefined;
  return (session) => ({
    ...config,
    ...(session.since('4.16') && { grant_opts: grants }),
    ...(session.since('4.19') && { altp2m: { opts, nr } }),
  });
}
