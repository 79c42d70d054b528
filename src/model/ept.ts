/**
 * A guest's access to memory: the processor's walk of the current table, #VE, and what Xen does on the exit. The order is
 * that of the hardware and of Xen's `hvm_hap_nested_page_fault` and `p2m_mem_access_check`.
 */

import {
  MEM_ACCESS_FAULT_IN_GPT,
  MEM_ACCESS_FAULT_WITH_GLA,
  MEM_ACCESS_GLA_VALID,
  VM_EVENT_REASON_MEM_ACCESS,
} from '../abi/vm_event.js';
import { DOMID_IO, PAGE_SIZE } from '../abi/xen.js';
import {
  ACCESS_N2RWX,
  ACCESS_R_PW,
  ACCESS_RW,
  ACCESS_RWX,
  ACCESS_RX2RW,
  accessRights,
  EXECUTE,
  isMisconfigured,
  READ,
  WRITE,
} from './access.js';
import type { AltView } from './altp2m.js';
import { VECTOR_GP, VECTOR_VE } from './guest/instruction.js';
import type { P2m } from './p2m.js';
import type { MsixTable } from './pci/msix_table.js';
import type { Vcpu } from './vcpu.js';
import { EXIT_REASON_EPT_VIOLATION, monitorTraps, monitorVmexit } from './vm_event/traps.js';

/** One kind of access: READ, WRITE or EXECUTE. */
export type AccessKind = typeof READ | typeof WRITE | typeof EXECUTE;

/** One access of one page. */
export interface PageTouch {
  /** Guest-physical. */
  readonly gpa: number;
  readonly kind: AccessKind;
  /** The linear address that it is for. */
  readonly gla: number | bigint;
  /** It is the processor's own, while it walks the guest's page tables for `gla`. */
  readonly inGpt: boolean;
}

/** How an access of one page ended. */
export type PageAccess =
  /** The page to read from or write to. */
  | { readonly page: Uint8Array }
  /** Xen carries the access out itself. */
  | { readonly emulated: MsixTable }
  /** The processor raised an exception. */
  | { readonly exception: number }
  /** No memory there and no device: reads give ones, writes are lost. */
  | 'unmapped'
  /** The instruction starts again: the agent was told, and may have answered. */
  | 'again'
  /** The domain is no more. */
  | 'stopped';

/** Exit qualification: the linear address is valid, and the access is that of the address itself. */
const QUALIFICATION_GLA = 0x80;
const QUALIFICATION_OF_GLA = 0x100;
/** After so many exits for one access the vCPU is taken to go round in circles. */
const ROUNDS = 1000;

/** Accesses one page through the vCPU's current table. */
export function accessPage(vcpu: Vcpu, touch: PageTouch): PageAccess {
  const { gpa, kind } = touch;
  const gfn = Math.floor(gpa / PAGE_SIZE);
  for (let round = 0; round < ROUNDS; round++) {
    const view = vcpu.altView;
    const table = view?.p2m ?? vcpu.domain.p2m;
    const entry = table.lookup(gfn);
    if (entry.present) {
      if (isMisconfigured(entry.access)) {
        // an EPT misconfiguration that Xen did not make on purpose ends the domain
        vcpu.domain.crash();
        return 'stopped';
      }
      if (rightsFor(entry.access, touch) & kind) {
        if (kind === WRITE && entry.readOnly) return protectedPage(vcpu, touch);
        if (kind === WRITE) vcpu.domain.frameTypes.noteWrite(gfn);
        return { page: pageAt(vcpu, entry.mfn, kind) };
      }
    }
    const rights = entry.present ? accessRights(entry.access) : 0;
    if (!entry.suppressVe && raiseVe(vcpu, touch, rights)) return { exception: VECTOR_VE };
    const exit = handleExit(vcpu, view, touch, rights);
    if (exit !== 'retry') return exit;
  }
  return 'again';
}

/** A write to a page that Xen lets nobody write: carried out by Xen where it knows the table there, else #GP. */
function protectedPage({ domain }: Vcpu, { gpa }: PageTouch): PageAccess {
  const table = domain.io.tableAt(gpa);
  return table ? { emulated: table } : { exception: VECTOR_GP };
}

/** Reaches a page as Xen's emulator does: through the host's p2m, whatever the restrictions. Null: there is no memory. */
export function emulatorPage(vcpu: Vcpu, gpa: number, write: boolean): Uint8Array | null {
  const gfn = Math.floor(gpa / PAGE_SIZE);
  const { memory } = vcpu.domain.host;
  const entry = vcpu.domain.find(gfn);
  if (entry.present && memory.isDevice(entry.mfn)) {
    if (!write) return memory.peek(entry.mfn);
    return entry.readOnly ? null : memory.page(DOMID_IO, entry.mfn);
  }
  if (write) vcpu.domain.frameTypes.noteWrite(gfn);
  return vcpu.domain.page(gfn, write);
}

/** r_pw lets page walks write. */
function rightsFor(access: number, { inGpt }: PageTouch): number {
  return access === ACCESS_R_PW && inGpt ? READ | WRITE : accessRights(access);
}

function pageAt(vcpu: Vcpu, mfn: number, kind: AccessKind): Uint8Array {
  const { memory } = vcpu.domain.host;
  return kind === WRITE ? memory.page(vcpu.domain.domid, mfn) : memory.peek(mfn);
}

function qualification({ kind, inGpt }: PageTouch, rights: number): number {
  return kind | (rights << 3) | QUALIFICATION_GLA | (inGpt ? 0 : QUALIFICATION_OF_GLA);
}

/** Fills the #VE information page (`vmx.h`); false when the processor may not: no page, or the guest has not read the last. */
function raiseVe(vcpu: Vcpu, touch: PageTouch, rights: number): boolean {
  if (vcpu.vePage === null) return false;
  const page = vcpu.domain.host.memory.page(vcpu.domain.domid, vcpu.vePage);
  const info = new DataView(page.buffer, page.byteOffset, page.byteLength);
  if (info.getUint32(4, true) !== 0) return false;
  info.setUint32(0, EXIT_REASON_EPT_VIOLATION, true);
  info.setUint32(4, 0xffff_ffff, true);
  info.setBigUint64(8, BigInt(qualification(touch, rights)), true);
  info.setBigUint64(16, BigInt(touch.gla), true);
  info.setBigUint64(24, BigInt(touch.gpa), true);
  info.setUint16(32, vcpu.altp2mIndex, true);
  return true;
}

function handleExit(vcpu: Vcpu, view: AltView | null, touch: PageTouch, rights: number): PageAccess | 'retry' {
  const { domain } = vcpu;
  if (monitorVmexit(vcpu, EXIT_REASON_EPT_VIOLATION, qualification(touch, rights))) return 'again';
  const gfn = Math.floor(touch.gpa / PAGE_SIZE);
  // a fork's page comes from its parent
  if (domain.parent && !domain.p2m.lookup(gfn).present && domain.find(gfn).present) return 'retry';
  if (view && domain.altp2m.propagateFromHost(view, gfn)) return 'retry';
  const table = view?.p2m ?? domain.p2m;
  const entry = table.lookup(gfn);
  if (!entry.present) {
    const msix = domain.io.tableAt(touch.gpa);
    return msix && touch.kind !== EXECUTE ? { emulated: msix } : 'unmapped';
  }
  return checkAccess(vcpu, table, entry.access, touch, view !== null);
}

function checkAccess(vcpu: Vcpu, table: P2m, access: number, touch: PageTouch, inView: boolean): PageAccess | 'retry' {
  const { domain } = vcpu;
  const gfn = Math.floor(touch.gpa / PAGE_SIZE);
  if (access === ACCESS_RX2RW && touch.kind === WRITE) {
    changeAccess(vcpu, table, gfn, ACCESS_RW);
    return 'retry';
  }
  const once = access === ACCESS_N2RWX;
  if (once) changeAccess(vcpu, table, gfn, ACCESS_RWX);
  if (!domain.ring) {
    if (inView ? domain.altp2m.accessRequired : domain.accessRequired) {
      domain.crash();
      return 'stopped';
    }
    changeAccess(vcpu, table, gfn, ACCESS_RWX);
    return 'retry';
  }
  if (touch.inGpt && domain.monitor.inguestPagefaultDisabled) {
    // the walk is emulated past the restriction; the access itself is not
    const page = emulatorPage(vcpu, touch.gpa, touch.kind === WRITE);
    return page ? { page } : 'unmapped';
  }
  deliver(vcpu, touch, !once);
  return 'again';
}

function deliver(vcpu: Vcpu, { gpa, gla, kind, inGpt }: PageTouch, sync: boolean): void {
  // Xen reports every write as a read, too: the processor cannot tell a write from a read-modify-write
  const tried = kind === WRITE ? READ | WRITE : kind;
  const fault = inGpt ? MEM_ACCESS_FAULT_IN_GPT : MEM_ACCESS_FAULT_WITH_GLA;
  monitorTraps(vcpu, VM_EVENT_REASON_MEM_ACCESS, sync, {
    'u.mem_access.gfn': Math.floor(gpa / PAGE_SIZE),
    'u.mem_access.offset': gpa % PAGE_SIZE,
    'u.mem_access.gla': gla,
    'u.mem_access.flags': tried | MEM_ACCESS_GLA_VALID | fault,
  });
}

function changeAccess(vcpu: Vcpu, table: P2m, gfn: number, access: number): void {
  const entry = table.lookup(gfn);
  table.set(gfn, entry.mfn, access, null);
  if (table === vcpu.domain.p2m) vcpu.domain.altp2m.propagateChange(gfn, 0);
}
