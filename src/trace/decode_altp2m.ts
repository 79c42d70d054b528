/** HVMOP_altp2m: the 16 operations. Their layouts are the same in every release. */

import * as hvm from '../abi/hvm/hvm_op.js';
import type { Field } from '../abi/layout.js';
import type { Arena } from '../hypervisor/arena.js';
import type { Decoded, DecodedValue, DecodedValues } from './decoded.js';
import { Operand } from './operand.js';

const OP = hvm.xen_hvm_altp2m_op;
const UNION_SIZE = OP.size - OP.at.u;
/** The most entries of a list that are decoded. */
const MOST_ENTRIES = 2 ** 16;

type NamedFields = Readonly<Record<string, Field>>;

interface Operation {
  readonly name: string;
  /** Arguments by name; `flags` among them may hold 0 and 1 only. */
  readonly in: NamedFields;
  readonly flags?: readonly string[];
  readonly out?: NamedFields;
  /** Of `out`: signed. */
  readonly signed?: readonly string[];
}

const state = { state: hvm.xen_hvm_altp2m_domain_state.fields.state };
const { view, hvmmem_default_access: default_access } = hvm.xen_hvm_altp2m_view.fields;
const access = hvm.xen_hvm_altp2m_mem_access.fields;
const sve = hvm.xen_hvm_altp2m_suppress_ve.fields;
const sves = hvm.xen_hvm_altp2m_suppress_ve_multi.fields;
const notify = hvm.xen_hvm_altp2m_vcpu_enable_notify.fields;
const change = hvm.xen_hvm_altp2m_change_gfn.fields;
const visibility = hvm.xen_hvm_altp2m_set_visibility.fields;
const index = hvm.xen_hvm_altp2m_get_vcpu_p2m_idx.fields;
const multi = hvm.xen_hvm_altp2m_set_mem_access_multi.fields;

const OPERATIONS: Readonly<Record<number, Operation>> = {
  [hvm.HVMOP_altp2m_get_domain_state]: { name: 'xc_altp2m_get_domain_state', in: {}, out: state },
  [hvm.HVMOP_altp2m_set_domain_state]: { name: 'xc_altp2m_set_domain_state', in: state, flags: ['state'] },
  [hvm.HVMOP_altp2m_vcpu_enable_notify]: {
    name: 'xc_altp2m_set_vcpu_enable_notify',
    in: { vcpu: notify.vcpu_id, gfn: notify.gfn },
  },
  [hvm.HVMOP_altp2m_vcpu_disable_notify]: {
    name: 'xc_altp2m_set_vcpu_disable_notify',
    in: { vcpu: hvm.xen_hvm_altp2m_vcpu_disable_notify.fields.vcpu_id },
  },
  [hvm.HVMOP_altp2m_create_p2m]: { name: 'xc_altp2m_create_view', in: { default_access }, out: { view } },
  [hvm.HVMOP_altp2m_destroy_p2m]: { name: 'xc_altp2m_destroy_view', in: { view } },
  [hvm.HVMOP_altp2m_switch_p2m]: { name: 'xc_altp2m_switch_to_view', in: { view } },
  [hvm.HVMOP_altp2m_set_mem_access]: {
    name: 'xc_altp2m_set_mem_access',
    in: { view: access.view, gfn: access.gfn, access: access.access },
  },
  [hvm.HVMOP_altp2m_get_mem_access]: {
    name: 'xc_altp2m_get_mem_access',
    in: { view: access.view, gfn: access.gfn },
    out: { access: access.access },
  },
  [hvm.HVMOP_altp2m_change_gfn]: {
    name: 'xc_altp2m_change_gfn',
    in: { view: change.view, old_gfn: change.old_gfn, new_gfn: change.new_gfn },
  },
  [hvm.HVMOP_altp2m_set_suppress_ve]: {
    name: 'xc_altp2m_set_suppress_ve',
    in: { view: sve.view, gfn: sve.gfn, sve: sve.suppress_ve },
    flags: ['sve'],
  },
  [hvm.HVMOP_altp2m_get_suppress_ve]: {
    name: 'xc_altp2m_get_suppress_ve',
    in: { view: sve.view, gfn: sve.gfn },
    out: { sve: sve.suppress_ve },
  },
  [hvm.HVMOP_altp2m_set_suppress_ve_multi]: {
    name: 'xc_altp2m_set_supress_ve_multi',
    in: { view: sves.view, first: sves.first_gfn, last: sves.last_gfn, sve: sves.suppress_ve },
    flags: ['sve'],
    out: { error_gfn: sves.first_error_gfn, error_code: sves.first_error },
    signed: ['error_code'],
  },
  [hvm.HVMOP_altp2m_get_p2m_idx]: {
    name: 'xc_altp2m_get_vcpu_p2m_idx',
    in: { vcpu: index.vcpu_id },
    out: { idx: index.altp2m_idx },
  },
  [hvm.HVMOP_altp2m_set_visibility]: {
    name: 'xc_altp2m_set_visibility',
    in: { view: visibility.altp2m_idx, visible: visibility.visible },
    flags: ['visible'],
  },
};

/** The hypercall itself, for what none of libxc's calls would send. */
export const RAW_ALTP2M = 'hvm_op altp2m';

export function decodeAltp2m(arena: Arena, address: number): Decoded {
  const operand = Operand.at(arena, address, OP.size);
  // recordings hold such a call, too: its answer is the errno of the bad pointer
  if (!operand) return { name: RAW_ALTP2M, args: { pointer: address }, exact: true };
  const cmd = operand.u32(OP.fields.cmd);
  const domid = operand.u32(OP.fields.domain);
  const u = operand.within(OP.at.u, UNION_SIZE);
  const plain =
    operand.u32(OP.fields.version) === hvm.HVMOP_ALTP2M_INTERFACE_VERSION &&
    operand.u32(OP.fields.pad1) === 0 &&
    operand.u32(OP.fields.pad2) === 0;
  const operation = OPERATIONS[cmd];
  if (plain && cmd === hvm.HVMOP_altp2m_set_mem_access_multi) {
    const decoded = decodeMulti(arena, domid, u);
    if (decoded) return decoded;
  }
  if (plain && operation) {
    const args = readAll(u, operation.in);
    const flags = (operation.flags ?? []).every((flag) => args[flag] === 0 || args[flag] === 1);
    if (flags && u.zeroBut(Object.values(operation.in))) {
      const { out, signed } = operation;
      return { name: operation.name, domid, args, exact: true, out: out && (() => readAll(u, out, signed)) };
    }
  }
  return decodeRaw(operand, domid);
}

function readAll(u: Operand, fields: NamedFields, signed: readonly string[] = []): DecodedValues {
  const values: Record<string, DecodedValue> = {};
  for (const [name, field] of Object.entries(fields)) {
    values[name] = signed.includes(name) ? u.s32(field) : u.value(field);
  }
  return values;
}

/** The call that has lists beside its structure; null when they cannot be read. */
function decodeMulti(arena: Arena, domid: number, u: Operand): Decoded | null {
  const count = u.u32(multi.nr);
  const { view: viewField, nr, pfn_list, access_list } = multi;
  if (!u.zeroBut([viewField, nr, pfn_list, access_list]) || count > MOST_ENTRIES) return null;
  const gfns = Operand.at(arena, Number(u.value(pfn_list)), count * 8);
  const codes = Operand.at(arena, Number(u.value(access_list)), count);
  if (!gfns || !codes) return null;
  const pfns = Array.from({ length: count }, (_, i) => gfns.u64(i * 8));
  const access = Array.from(codes.bytes([0, count]));
  const args = { view: u.u32(viewField), nr: count, pfns, access };
  return { name: 'xc_altp2m_set_mem_access_multi', domid, args, exact: true };
}

function decodeRaw(operand: Operand, domid: number): Decoded {
  const cmd = operand.u32(OP.fields.cmd);
  const args = {
    version: operand.u32(OP.fields.version),
    cmd,
    domain: domid,
    pad1: operand.u32(OP.fields.pad1),
    pad2: operand.u32(OP.fields.pad2),
    u: operand.hex(OP.fields.u),
  };
  // the one operation that reads memory beside its structure
  return { name: RAW_ALTP2M, domid, args, exact: cmd !== hvm.HVMOP_altp2m_set_mem_access_multi };
}
