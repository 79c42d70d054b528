/** A vCPU's registers as an event tells them: decoded one by one, when they are asked for. */

import type { Field } from '../../abi/layout.js';
import { VM_EVENT_ABIS, type VmEventLayout, vmEventLayout } from '../../abi/vm_event.js';
import type { Frame } from './ring.js';

const GENERAL = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const;
const EXTENDED = ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;

/** The registers that an answer can set: Xen takes these over and leaves the others. */
export const SETTABLE_REGISTERS = [...GENERAL, ...EXTENDED, 'rflags', 'rip'] as const;
export type SettableRegister = (typeof SETTABLE_REGISTERS)[number];

const SEGMENTS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const;
type Segment = (typeof SEGMENTS)[number];

type Wide =
  | SettableRegister
  | `cr${0 | 2 | 3 | 4}`
  | 'dr7'
  | `sysenter_${'cs' | 'esp' | 'eip'}`
  | `msr_${'efer' | 'star' | 'lstar'}`
  | `${'fs' | 'gs'}_base`;

/**
 * `vm_event_regs_x86` by its own names. `limit` of a segment counts pages of 4 KiB where its attributes have G set, as Xen
 * tells it. What a release does not tell is undefined.
 */
export type Registers = Readonly<Record<Wide, bigint>> &
  Readonly<
    Partial<Record<'dr6' | 'shadow_gs' | 'gdtr_base' | 'npt_base' | 'vmtrace_pos', bigint>> &
      Partial<Record<`${'cs' | 'ss' | 'ds' | 'es'}_base` | 'gdtr_limit', number>> &
      Partial<Record<`${Segment}_${'sel' | 'limit' | 'ar'}`, number>>
  > & {
    /** All of them by name, as they are now. */
    toObject(): Record<string, bigint | number>;
  };

type RegistersClass = new (frame: Frame) => Registers;
type Read = (frame: Frame) => bigint | number;

function reader([offset, size]: Field, base: number): Read {
  const at = base + offset;
  if (size === 8) return ({ view }) => view.getBigUint64(at, true);
  if (size === 4) return ({ view }) => view.getUint32(at, true);
  return ({ view }) => view.getUint16(at, true);
}

function readers(layout: VmEventLayout): Map<string, Read> {
  const base = layout.event.size - layout.regs.size;
  const found = new Map<string, Read>();
  for (const [name, field] of Object.entries(layout.regs.fields)) {
    if ((SEGMENTS as readonly string[]).includes(name)) {
      const packed = reader(field, base);
      found.set(`${name}_limit`, (frame) => Number(packed(frame)) & 0xf_ffff);
      found.set(`${name}_ar`, (frame) => Number(packed(frame)) >>> 20);
    } else {
      found.set(name, reader(field, base));
    }
  }
  return found;
}

function makeClass(layout: VmEventLayout): RegistersClass {
  const all = readers(layout);
  class Decoder {
    readonly frame: Frame;
    constructor(frame: Frame) {
      this.frame = frame;
      Object.defineProperty(this, 'frame', { enumerable: false });
    }
    toObject(): Record<string, bigint | number> {
      this.frame.copyData();
      return Object.fromEntries(Array.from(all, ([name, read]) => [name, read(this.frame)]));
    }
  }
  for (const [name, read] of all) {
    Object.defineProperty(Decoder.prototype, name, {
      get(this: Decoder) {
        this.frame.copyData();
        return read(this.frame);
      },
      enumerable: true,
    });
  }
  return Decoder as unknown as RegistersClass;
}

const CLASSES = new Map(VM_EVENT_ABIS.map((abi) => [abi, makeClass(vmEventLayout(abi))]));

/** The registers of whatever event is in `frame` when they are read. */
export function registersOf(frame: Frame, layout: VmEventLayout): Registers {
  const Decoder = CLASSES.get(layout.abi) as RegistersClass;
  return new Decoder(frame);
}
