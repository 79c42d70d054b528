/** Loads, stores and fetches: instructions that reach memory by linear address. */

import {
  VM_EVENT_FLAG_EMULATE_NOWRITE,
  VM_EVENT_FLAG_SET_EMUL_INSN_DATA,
  VM_EVENT_FLAG_SET_EMUL_READ_DATA,
} from '../../abi/vm_event.js';
import { PAGE_SIZE } from '../../abi/xen.js';
import { EXECUTE, READ, WRITE } from '../access.js';
import { type AccessKind, accessPage, emulatorPage } from '../ept.js';
import { translate, translateInXen } from '../paging/walk.js';
import type { MsixTable } from '../pci/msix_table.js';
import type { Vcpu } from '../vcpu.js';
import { monitorEmulUnimplemented } from '../vm_event/traps.js';
import type { Emulation } from '../vm_event/vcpu_events.js';
import { breakpoint, INT3 } from './exceptions.js';
import {
  type Attempt,
  DONE,
  GuestResult,
  type Instruction,
  raised,
  VECTOR_BP,
  VECTOR_GP,
  VECTOR_UD,
} from './instruction.js';

export interface AccessOptions {
  /** False: an instruction that Xen's emulator does not know. Default true. */
  readonly emulable?: boolean;
}

/** An access that Xen carries out in the place of the processor. */
interface Emulated {
  readonly emulated: MsixTable;
  readonly gpa: number;
}

/** One page's part of an access. */
interface Piece {
  /** Null: no memory there. */
  page: Uint8Array | null;
  offset: number;
  length: number;
}

export class MemoryAccess implements Instruction {
  readonly #kind: AccessKind;
  readonly #address: number | bigint;
  readonly #length: number;
  readonly #stored: Uint8Array | null;
  readonly #emulable: boolean;

  private constructor(
    kind: AccessKind,
    address: number | bigint,
    length: number,
    stored: Uint8Array | null,
    { emulable = true }: AccessOptions,
  ) {
    checkRange(address, length);
    this.#kind = kind;
    this.#address = address;
    this.#length = length;
    this.#stored = stored;
    this.#emulable = emulable;
  }

  static load(address: number | bigint, length: number, options: AccessOptions): MemoryAccess {
    return new MemoryAccess(READ, address, length, null, options);
  }

  static store(address: number | bigint, bytes: Uint8Array, options: AccessOptions): MemoryAccess {
    return new MemoryAccess(WRITE, address, bytes.length, bytes, options);
  }

  static fetch(address: number | bigint, length: number, options: AccessOptions): MemoryAccess {
    return new MemoryAccess(EXECUTE, address, length, null, options);
  }

  begin({ registers }: Vcpu): void {
    if (this.#kind === EXECUTE) registers.set('rip', BigInt.asUintN(64, BigInt(this.#address)));
  }

  attempt(vcpu: Vcpu): Attempt {
    const moved = this.#move(vcpu, false);
    if (this.#kind !== EXECUTE || !(moved instanceof GuestResult) || moved.exception !== null) return moved;
    if (moved.bytes[0] === INT3) return breakpoint(vcpu);
    vcpu.registers.skip(this.#length);
    return moved;
  }

  /** `hvm_emulate_one_vm_event`: which of an answer's wishes counts goes by the order of the tests here. */
  emulate(vcpu: Vcpu, { flags, data }: Emulation): Attempt {
    // an instruction that the emulator does not know is #UD, unless the agent wants to be told and steps over it itself
    if (!this.#emulable) return monitorEmulUnimplemented(vcpu) ? 'again' : raised(VECTOR_UD);
    const given = flags & VM_EVENT_FLAG_SET_EMUL_READ_DATA ? readData(data) : null;
    if (this.#kind === READ && given) return new GuestResult(null, true, padded(given, this.#length));
    if (this.#stored && !given && flags & VM_EVENT_FLAG_EMULATE_NOWRITE) return DONE;
    const replaced = !given && !(flags & VM_EVENT_FLAG_EMULATE_NOWRITE) && flags & VM_EVENT_FLAG_SET_EMUL_INSN_DATA;
    if (this.#kind === EXECUTE && replaced) return this.#run(vcpu, padded(data.subarray(0, 16), this.#length));
    const moved = this.#move(vcpu, true);
    if (this.#kind !== EXECUTE || !(moved instanceof GuestResult) || moved.exception !== null) return moved;
    return this.#run(vcpu, moved.bytes);
  }

  #run(vcpu: Vcpu, bytes: Uint8Array): GuestResult {
    if (bytes[0] === INT3) return raised(VECTOR_BP);
    vcpu.registers.skip(this.#length);
    return new GuestResult(null, true, bytes);
  }

  /** Moves the bytes, once every page is at hand: an access that faults has no effect. */
  #move(vcpu: Vcpu, inXen: boolean): Attempt {
    const length = this.#length;
    const offset = pageOffset(this.#address);
    if (offset + length <= PAGE_SIZE) {
      const page = this.#reach(vcpu, this.#address, inXen);
      if (isEmulated(page)) return this.#emulated(page);
      if (page !== null && !(page instanceof Uint8Array)) return page;
      if (this.#stored) {
        page?.set(this.#stored, offset);
        return DONE;
      }
      return new GuestResult(
        null,
        true,
        page ? page.slice(offset, offset + length) : new Uint8Array(length).fill(0xff),
      );
    }
    const pieces = this.#pieces(vcpu, inXen);
    if (!Array.isArray(pieces)) return pieces;
    return this.#stored ? put(pieces, this.#stored) : new GuestResult(null, true, get(pieces, length));
  }

  #pieces(vcpu: Vcpu, inXen: boolean): Piece[] | Attempt {
    const pieces: Piece[] = [];
    for (let done = 0; done < this.#length; ) {
      const gla = advance(this.#address, done);
      const offset = pageOffset(gla);
      const length = Math.min(PAGE_SIZE - offset, this.#length - done);
      const reached = this.#reach(vcpu, gla, inXen);
      // no access across pages is aligned, and what is not Xen does not carry out
      const page = isEmulated(reached) ? null : reached;
      if (page !== null && !(page instanceof Uint8Array)) return page;
      pieces.push({ page, offset, length });
      done += length;
    }
    return pieces;
  }

  /** Gets at the page of an address, as the processor does or as Xen's emulator; null: there is no memory. */
  #reach(vcpu: Vcpu, gla: number | bigint, inXen: boolean): Uint8Array | Emulated | null | Attempt {
    const kind = this.#kind;
    const gpa = inXen ? translateInXen(vcpu, gla, kind) : translate(vcpu, gla, kind);
    if (typeof gpa !== 'number') return gpa;
    if (inXen) return emulatorPage(vcpu, gpa, kind === WRITE);
    const access = accessPage(vcpu, { gpa, kind, gla, inGpt: false });
    if (access === 'unmapped') return null;
    if (typeof access === 'string') return access;
    if ('emulated' in access) return { emulated: access.emulated, gpa };
    return 'page' in access ? access.page : raised(access.exception);
  }

  /** Xen carries the access out. What it does not know the device model would, of which there is none. */
  #emulated({ emulated, gpa }: Emulated): Attempt {
    if (!this.#emulable) return raised(VECTOR_GP);
    if (this.#stored) {
      emulated.write(gpa, this.#stored);
      return DONE;
    }
    return new GuestResult(null, true, emulated.read(gpa, this.#length) ?? new Uint8Array(this.#length).fill(0xff));
  }
}

function isEmulated(reached: Uint8Array | Emulated | null | Attempt): reached is Emulated {
  return typeof reached === 'object' && reached !== null && 'emulated' in reached;
}

function get(pieces: readonly Piece[], total: number): Uint8Array {
  const bytes = new Uint8Array(total);
  let done = 0;
  for (const { page, offset, length } of pieces) {
    if (page) bytes.set(page.subarray(offset, offset + length), done);
    else bytes.fill(0xff, done, done + length);
    done += length;
  }
  return bytes;
}

function put(pieces: readonly Piece[], stored: Uint8Array): GuestResult {
  let done = 0;
  for (const { page, offset, length } of pieces) {
    page?.set(stored.subarray(done, done + length), offset);
    done += length;
  }
  return DONE;
}

function pageOffset(address: number | bigint): number {
  return typeof address === 'number' ? address % PAGE_SIZE : Number(address & 0xfffn);
}

/** Linear addresses wrap where 64 bits end. */
function advance(address: number | bigint, by: number): number | bigint {
  if (by === 0) return address;
  return typeof address === 'number' ? address + by : BigInt.asUintN(64, address + BigInt(by));
}

function checkRange(address: number | bigint, length: number): void {
  const valid =
    typeof address === 'bigint' ? address >= 0n && address < 1n << 64n : Number.isSafeInteger(address) && address >= 0;
  if (valid && Number.isInteger(length) && length >= 1) return;
  throw new RangeError(`a guest's access needs an address and a length of at least 1, not ${address}, ${length}`);
}

/** `vm_event_emul_read_data`: as many bytes as it says, and has. */
function readData(data: Uint8Array): Uint8Array {
  const size = new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(0, true);
  return data.subarray(4, 4 + Math.min(size, data.length - 4));
}

/** The first `length` bytes; zeroes where there are fewer. */
function padded(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, length));
  return result;
}
