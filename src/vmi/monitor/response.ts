/**
 * What an agent answers, and what is answered in its place. Xen applies the parts of an answer in the order in which they
 * stand here.
 */

import { atLeast, type Release } from '../../abi/release.js';
import {
  VM_EVENT_FLAG_ALTERNATE_P2M,
  VM_EVENT_FLAG_DENY,
  VM_EVENT_FLAG_EMULATE,
  VM_EVENT_FLAG_EMULATE_NOWRITE,
  VM_EVENT_FLAG_FAST_SINGLESTEP,
  VM_EVENT_FLAG_GET_NEXT_INTERRUPT,
  VM_EVENT_FLAG_RESET_FORK_MEMORY,
  VM_EVENT_FLAG_RESET_FORK_STATE,
  VM_EVENT_FLAG_RESET_VMTRACE,
  VM_EVENT_FLAG_SET_EMUL_INSN_DATA,
  VM_EVENT_FLAG_SET_EMUL_READ_DATA,
  VM_EVENT_FLAG_SET_REGISTERS,
  VM_EVENT_FLAG_TOGGLE_SINGLESTEP,
  VM_EVENT_FLAG_VCPU_PAUSED,
  VM_EVENT_REASON_CPUID,
  VM_EVENT_REASON_DESCRIPTOR_ACCESS,
  VM_EVENT_REASON_MEM_ACCESS,
  VM_EVENT_REASON_SOFTWARE_BREAKPOINT,
  type VmEventLayout,
} from '../../abi/vm_event.js';
import { checkU16, checkU64 } from '../../hypervisor/check.js';
import { SETTABLE_REGISTERS, type SettableRegister } from './registers.js';
import { FLAGS, type Frame, REASON, U } from './ring.js';

/**
 * An answer. Xen heeds it only when the vCPU waits for it (`event.paused`).
 *
 * Xen does an instruction that it has reported before doing it again when the vCPU goes on, and reports it again, unless
 * the answer, or what the agent has done meanwhile, makes a difference. So `{}` is seldom right. No response at all lets
 * the guest have what it would have had without an agent:
 * - mem_access, descriptor_access: `emulate` (which does nothing when the access is allowed by now)
 * - cpuid: `rip` is set past the instruction, whose results are in the registers already
 * - software_breakpoint, debug_exception: the exception is injected
 * - io_instruction, and vmexit with `sync`: nothing makes Xen do these; the agent has to do what the instruction does
 *   and set `rip` past it, or switch the events off
 * - all others: `{}`
 */
export interface MonitorResponse {
  /** Put a fork's registers back to what its parent's are. Since Xen 4.17. */
  readonly resetForkState?: boolean;
  /** Drop what a fork has changed in its memory. Since Xen 4.17. */
  readonly resetForkMemory?: boolean;
  /**
   * Let Xen's emulator do the instruction, past the forbidden access; `'nowrite'`: without its writes. For mem_access
   * (only while the frame still forbids the access), descriptor_access, and software_breakpoint with `instruction`.
   */
  readonly emulate?: boolean | 'nowrite';
  /** With `emulate`: what the instruction reads instead of memory, at most 340 bytes (324 up to Xen 4.14). */
  readonly readData?: Uint8Array;
  /** With `emulate`, for software_breakpoint: the instruction to do instead, at most 16 bytes; NOPs fill the rest. */
  readonly instruction?: Uint8Array;
  /** Do not write the register: for write_ctrlreg and mov_to_msr. */
  readonly deny?: boolean;
  /** Switch single-stepping on, or off again; every step is an event then. */
  readonly toggleSinglestep?: boolean;
  /** Step over one instruction without an event for it, and enter this altp2m view then. */
  readonly fastSinglestep?: number;
  /** Enter this altp2m view, visible or hidden. One that does not exist is passed over. */
  readonly view?: number;
  /** Registers to change; the others stay. */
  readonly registers?: Readonly<Partial<Record<SettableRegister, number | bigint>>>;
  /** Report the next interrupt that the vCPU takes. */
  readonly nextInterrupt?: boolean;
  /** Begin the vCPU's Processor Trace buffer anew. Since Xen 4.15. */
  readonly resetVmtrace?: boolean;
}

const NOP = 0x90;

/** Encodes answers for one release. @internal */
export class ResponseEncoder {
  readonly #layout: VmEventLayout;
  readonly #release: Release;
  /** Byte offset of `data`, and its size. */
  readonly #data: number;
  readonly #dataBytes: number;
  /** Index of `rip` in an event's 32-bit words. */
  readonly #rip: number;

  constructor(layout: VmEventLayout, release: Release) {
    this.#layout = layout;
    this.#release = release;
    this.#dataBytes = layout.regs.size;
    this.#data = layout.event.size - layout.regs.size;
    this.#rip = (this.#data + (layout.regs.at['rip'] as number)) / 4;
  }

  /** Writes down the answer to the request in `frame`. Throws before anything is changed. */
  encode(frame: Frame, response: MonitorResponse | undefined): void {
    const paused = (frame.words[FLAGS] as number) & VM_EVENT_FLAG_VCPU_PAUSED;
    if (response === undefined) {
      frame.flags = paused === 0 ? 0 : paused | this.#asWithoutAgent(frame);
      return;
    }
    if (typeof response !== 'object' || response === null) throw new TypeError('a response must be an object');
    const flags = this.#flags(response);
    const { view, fastSinglestep, registers, readData, instruction } = response;
    if (instruction !== undefined) checkReason(frame);
    if (registers !== undefined) this.#setRegisters(frame, registers);
    if (readData !== undefined) this.#setReadData(frame, readData);
    if (instruction !== undefined) this.#setInstruction(frame, instruction);
    if (view !== undefined) frame.altp2m = view;
    if (fastSinglestep !== undefined) frame.firstU = fastSinglestep;
    frame.flags = paused | flags;
  }

  /** Answers with nothing but that the vCPU can go on. */
  encodeNothing(frame: Frame): void {
    frame.flags = (frame.words[FLAGS] as number) & VM_EVENT_FLAG_VCPU_PAUSED;
  }

  #asWithoutAgent(frame: Frame): number {
    switch (frame.words[REASON]) {
      case VM_EVENT_REASON_MEM_ACCESS:
      case VM_EVENT_REASON_DESCRIPTOR_ACCESS:
        return VM_EVENT_FLAG_EMULATE;
      case VM_EVENT_REASON_CPUID: {
        frame.copyData();
        const { words } = frame;
        const low = (words[this.#rip] as number) + (words[U] as number);
        words[this.#rip] = low;
        if (low > 0xffff_ffff) words[this.#rip + 1] = (words[this.#rip + 1] as number) + 1;
        frame.dataChanged = true;
        return VM_EVENT_FLAG_SET_REGISTERS;
      }
      default:
        return 0;
    }
  }

  #flags(response: MonitorResponse): number {
    const { emulate, readData, instruction, registers, view, fastSinglestep } = response;
    let flags = 0;
    if (emulate === 'nowrite') flags |= VM_EVENT_FLAG_EMULATE | VM_EVENT_FLAG_EMULATE_NOWRITE;
    else if (emulate) flags |= VM_EVENT_FLAG_EMULATE;
    if (response.deny) flags |= VM_EVENT_FLAG_DENY;
    if (response.toggleSinglestep) flags |= VM_EVENT_FLAG_TOGGLE_SINGLESTEP;
    if (response.nextInterrupt) flags |= VM_EVENT_FLAG_GET_NEXT_INTERRUPT;
    if (view !== undefined) {
      checkU16(view, 'view');
      flags |= VM_EVENT_FLAG_ALTERNATE_P2M;
    }
    if (fastSinglestep !== undefined) flags |= this.#fastSinglestepFlag(response);
    if (readData !== undefined || instruction !== undefined || registers !== undefined) flags |= dataFlag(response);
    if (response.resetVmtrace) flags |= this.#since('4.15', 'resetVmtrace', VM_EVENT_FLAG_RESET_VMTRACE);
    if (response.resetForkState) flags |= this.#since('4.17', 'resetForkState', VM_EVENT_FLAG_RESET_FORK_STATE);
    if (response.resetForkMemory) flags |= this.#since('4.17', 'resetForkMemory', VM_EVENT_FLAG_RESET_FORK_MEMORY);
    return flags;
  }

  #since(release: Release, name: string, flag: number): number {
    if (atLeast(this.#release, release)) return flag;
    throw new RangeError(`${name} exists since Xen ${release}; this is ${this.#release}`);
  }

  /** Its view lies where a memory access has its frame, which Xen's check before emulating needs. */
  #fastSinglestepFlag({ fastSinglestep, emulate, deny }: MonitorResponse): number {
    checkU16(fastSinglestep as number, 'fastSinglestep');
    if (emulate || deny) throw new RangeError('fastSinglestep cannot go with emulate or deny in one response');
    if (this.#layout.abi < 6) throw new RangeError('fastSinglestep exists since Xen 4.14');
    return VM_EVENT_FLAG_FAST_SINGLESTEP;
  }

  #setRegisters(frame: Frame, registers: NonNullable<MonitorResponse['registers']>): void {
    if (typeof registers !== 'object' || registers === null) throw new TypeError('registers must be an object');
    const names = Object.keys(registers) as SettableRegister[];
    for (const name of names) {
      if (!SETTABLE_REGISTERS.includes(name)) {
        throw new TypeError(`registers.${name} cannot be set: Xen takes ${SETTABLE_REGISTERS.join(', ')}`);
      }
      checkU64(registers[name] as number | bigint, `registers.${name}`);
    }
    frame.copyData();
    for (const name of names) {
      const offset = this.#layout.regs.at[name] as number;
      frame.view.setBigUint64(this.#data + offset, BigInt(registers[name] as number | bigint), true);
    }
    frame.dataChanged = true;
  }

  #setReadData(frame: Frame, data: Uint8Array): void {
    const most = this.#dataBytes - 4;
    checkBytes(data, 'readData', most);
    this.#clearData(frame);
    frame.view.setUint32(this.#data, data.length, true);
    frame.bytes.set(data, this.#data + 4);
  }

  #setInstruction(frame: Frame, instruction: Uint8Array): void {
    checkBytes(instruction, 'instruction', 16);
    this.#clearData(frame);
    frame.bytes.fill(NOP, this.#data, this.#data + 16);
    frame.bytes.set(instruction, this.#data);
  }

  #clearData(frame: Frame): void {
    frame.copyData(); // what is read from the event later is not from the slot any more
    frame.bytes.fill(0, this.#data);
    frame.dataChanged = true;
  }
}

/** In an answer to anything but a breakpoint Xen takes the flag, not the bytes, and emulates what it has there (seen on 4.17). */
function checkReason({ words }: Frame): void {
  if (words[REASON] === VM_EVENT_REASON_SOFTWARE_BREAKPOINT) return;
  throw new RangeError('instruction is for software_breakpoint: Xen takes none in an answer to another event');
}

function checkBytes(bytes: Uint8Array, name: string, most: number): void {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`${name} must be a Uint8Array`);
  if (bytes.length === 0 || bytes.length > most) {
    throw new RangeError(`${name} must have 1 to ${most} bytes, not ${bytes.length}`);
  }
}

/** Registers and what the emulator gets share one place in the answer. */
function dataFlag({ emulate, readData, instruction, registers }: MonitorResponse): number {
  const given = [readData, instruction, registers].filter((one) => one !== undefined);
  if (given.length > 1) throw new RangeError('a response has room for one of readData, instruction and registers');
  if (registers !== undefined) return VM_EVENT_FLAG_SET_REGISTERS;
  if (!emulate) throw new RangeError('readData and instruction go with emulate: true');
  return readData !== undefined ? VM_EVENT_FLAG_SET_EMUL_READ_DATA : VM_EVENT_FLAG_SET_EMUL_INSN_DATA;
}
