/**
 * A guest's access to memory: the processor's walk of the current table, #VE, and what Xen does on the exit. The order is
 * that of the hardware and of Xen's `hvm_hap_nested_page_fault` and `p2m_mem_access_check`.
 */

import { PAGE_SIZE } from '../abi/xen.js';
import {
  ACCESS_N2RWX,
  ACCESS_RW,
  ACCESS_RWX,
  ACCESS_RX2RW,
  accessRights,
  type EXECUTE,
  isMisconfigured,
  READ,
  WRITE,
} from './access.js';
import type { AltView } from './altp2m.js';
import {
  MEM_ACCESS_FAULT_WITH_GLA,
  MEM_ACCESS_GLA_VALID,
  VM_EVENT_REASON_MEM_ACCESS,
  type VmEventAnswer,
} from './monitor.js';
import type { P2m } from './p2m.js';
import type { Vcpu } from './vcpu.js';

/** One kind of access: READ, WRITE or EXECUTE. */
export type AccessKind = typeof READ | typeof WRITE | typeof EXECUTE;

/** How an access of one page ended. */
export type PageAccess =
  /** The page to read from or write to. */
  | { readonly page: Uint8Array }
  /** The processor raised an exception. */
  | { readonly exception: number }
  /** No memory there and no device: reads give ones, writes are lost. */
  | 'unmapped'
  /** The vCPU does not get on: its event is not answered, or its domain is no more. */
  | 'stopped';

const VECTOR_VE = 20;
const EXIT_REASON_EPT_VIOLATION = 48;
/** Exit qualification: the linear address is valid, and it is that of the access itself. */
const QUALIFICATION_GLA = 0x180;
/** After so many exits for one access the vCPU is taken to go round in circles. */
const ROUNDS = 1000;

/** Accesses one page through the vCPU's current table. */
export function accessPage(vcpu: Vcpu, gpa: number, kind: AccessKind): PageAccess {
  const gfn = Math.floor(gpa / PAGE_SIZE);
  for (let round = 0; round < ROUNDS; round++) {
    const view = currentView(vcpu);
    const table = view?.p2m ?? vcpu.domain.p2m;
    const entry = table.lookup(gfn);
    if (entry.present) {
      if (isMisconfigured(entry.access)) {
        // an EPT misconfiguration that Xen did not make on purpose ends the domain
        vcpu.domain.crash();
        return 'stopped';
      }
      if (accessRights(entry.access) & kind) {
        if (kind === WRITE) vcpu.domain.frameTypes.noteWrite(gfn);
        return { page: pageAt(vcpu, entry.mfn, kind) };
      }
    }
    if (!entry.suppressVe && raiseVe(vcpu, gpa, kind, entry.present ? accessRights(entry.access) : 0)) {
      return { exception: VECTOR_VE };
    }
    const exit = handleExit(vcpu, view, gpa, kind);
    if (exit !== 'retry') return exit;
  }
  return 'stopped';
}

function currentView(vcpu: Vcpu): AltView | null {
  const { altp2m } = vcpu.domain;
  return altp2m.active ? altp2m.view(vcpu.altp2mIndex) : null;
}

function pageAt(vcpu: Vcpu, mfn: number, kind: AccessKind): Uint8Array {
  const { memory } = vcpu.domain.host;
  return kind === WRITE ? memory.page(vcpu.domain.domid, mfn) : memory.peek(mfn);
}

/** Fills the #VE information page (`vmx.h`); false when the processor may not: no page, or the guest has not read the last. */
function raiseVe(vcpu: Vcpu, gpa: number, kind: AccessKind, rights: number): boolean {
  if (vcpu.vePage === null) return false;
  const page = vcpu.domain.host.memory.page(vcpu.domain.domid, vcpu.vePage);
  const info = new DataView(page.buffer, page.byteOffset, page.byteLength);
  if (info.getUint32(4, true) !== 0) return false;
  info.setUint32(0, EXIT_REASON_EPT_VIOLATION, true);
  info.setUint32(4, 0xffff_ffff, true);
  info.setBigUint64(8, BigInt(kind | (rights << 3) | QUALIFICATION_GLA), true);
  info.setBigUint64(16, BigInt(gpa), true);
  info.setBigUint64(24, BigInt(gpa), true);
  info.setUint16(32, vcpu.altp2mIndex, true);
  return true;
}

function handleExit(vcpu: Vcpu, view: AltView | null, gpa: number, kind: AccessKind): PageAccess | 'retry' {
  const { domain } = vcpu;
  const gfn = Math.floor(gpa / PAGE_SIZE);
  if (view && domain.altp2m.propagateFromHost(view, gfn)) return 'retry';
  const table = view?.p2m ?? domain.p2m;
  const entry = table.lookup(gfn);
  if (!entry.present) return 'unmapped';
  return checkAccess(vcpu, table, entry.access, gpa, kind, view !== null);
}

function checkAccess(
  vcpu: Vcpu,
  table: P2m,
  access: number,
  gpa: number,
  kind: AccessKind,
  inView: boolean,
): PageAccess | 'retry' {
  const { domain } = vcpu;
  const gfn = Math.floor(gpa / PAGE_SIZE);
  if (access === ACCESS_RX2RW && kind === WRITE) {
    changeAccess(vcpu, table, gfn, ACCESS_RW);
    return 'retry';
  }
  const once = access === ACCESS_N2RWX;
  if (once) changeAccess(vcpu, table, gfn, ACCESS_RWX);
  if (!domain.monitor) {
    if (inView ? domain.altp2m.accessRequired : domain.accessRequired) {
      domain.crash();
      return 'stopped';
    }
    changeAccess(vcpu, table, gfn, ACCESS_RWX);
    return 'retry';
  }
  const answer = deliver(vcpu, gpa, kind, !once);
  if (once) return 'retry';
  if (answer === null) return 'stopped';
  return applyAnswer(vcpu, answer, gpa, kind);
}

function deliver(vcpu: Vcpu, gpa: number, kind: AccessKind, paused: boolean): VmEventAnswer | null {
  // Xen reports every write as a read, too: the processor cannot tell a write from a read-modify-write
  const rights = kind === WRITE ? READ | WRITE : kind;
  return vcpu.reportEvent(VM_EVENT_REASON_MEM_ACCESS, paused, {
    gfn: Math.floor(gpa / PAGE_SIZE),
    offset: gpa % PAGE_SIZE,
    gla: gpa,
    flags: rights | MEM_ACCESS_GLA_VALID | MEM_ACCESS_FAULT_WITH_GLA,
  });
}

function applyAnswer(vcpu: Vcpu, answer: VmEventAnswer, gpa: number, kind: AccessKind): PageAccess | 'retry' {
  if (answer.emulate === true) {
    // the emulator reaches memory through the host's p2m, not through the view
    const page = vcpu.domain.page(Math.floor(gpa / PAGE_SIZE), kind === WRITE);
    return page ? { page } : 'unmapped';
  }
  vcpu.applyStepping(answer);
  if (answer.alternateP2m !== undefined) vcpu.domain.altp2m.switchByEvent(vcpu, answer.alternateP2m);
  return 'retry';
}

function changeAccess(vcpu: Vcpu, table: P2m, gfn: number, access: number): void {
  const entry = table.lookup(gfn);
  table.set(gfn, entry.mfn, access, null);
  if (table === vcpu.domain.p2m) vcpu.domain.altp2m.propagateChange(gfn, 0);
}
