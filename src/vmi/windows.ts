/** Windows on x86-64, seen from outside: its processes. */

import { toBigint } from './address.js';
import type { AddressSpace } from './address_space.js';
import { MemoryFault } from './fault.js';
import type { Introspector } from './introspector.js';
import { GuestMismatchError } from './linux_find.js';
import { pattern } from './pattern.js';
import type { Profile, StructType } from './profile.js';

/** A process of the guest. */
export interface WindowsProcess {
  /** Its `_EPROCESS`. */
  readonly address: bigint;
  readonly pid: number;
  readonly ppid: number;
  /** The program's name, at most 14 characters. */
  readonly name: string;
  readonly cr3: bigint;
}

/** The processes that were found, and how the list ended: as {@link LinuxProcesses}. */
export interface WindowsProcesses {
  readonly processes: readonly WindowsProcess[];
  readonly end: 'complete' | 'loop' | 'fault' | 'limit';
  readonly at: bigint;
}

const MOST_PROCESSES = 2 ** 16;
/** The process that has the kernel's threads. */
const SYSTEM_PID = 4;
const ENTRIES = ['KiSystemCall64', 'KiSystemCall64Shadow'];
const TABLE = 0xf_ffff_ffff_f000n;

/**
 * A Windows guest, found by {@link Windows.find}. The profile is of its `ntkrnlmp.pdb`.
 *
 * Its list of processes is walked from the process System on, which is found by its name in all memory: that needs no
 * register, and so works on images, too.
 */
export class Windows {
  readonly profile: Profile;
  /** The kernel's address space: that of System. */
  readonly kernel: AddressSpace;
  /** Where the kernel's first byte is, to which symbols count; null: this is an image, or its vCPU did not tell. */
  readonly base: bigint | null;
  readonly #vmi: Introspector;
  readonly #system: bigint;

  private constructor(vmi: Introspector, profile: Profile, found: { kernel: AddressSpace; system: bigint }) {
    this.#vmi = vmi;
    this.profile = profile;
    this.kernel = found.kernel;
    this.#system = found.system;
    this.base = kernelBase(vmi, profile, found.kernel);
  }

  /**
   * Finds the kernel.
   *
   * @throws GuestMismatchError there is none that the profile fits
   * @throws ProfileError the profile lacks what is needed
   * @throws CallAbortedError when `options.signal` fires
   */
  static async find(
    vmi: Introspector,
    profile: Profile,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Windows> {
    const process = new ProcessType(profile);
    const name = pattern(Buffer.from('System\0\0\0\0\0\0\0\0', 'latin1'));
    for await (const hit of vmi.physical.search(name, { signal: options.signal })) {
      const found = process.systemAt(vmi, Number(hit) - process.name);
      if (found) return new Windows(vmi, profile, found);
    }
    throw new GuestMismatchError('no Windows kernel that the profile fits was found in this memory');
  }

  /**
   * Where a symbol is in this guest.
   *
   * @throws ProfileError there is none
   * @throws TypeError {@link base} is not known
   */
  symbol(name: string): bigint {
    const address = this.profile.symbol(name);
    if (this.base === null) throw new TypeError('where the kernel begins is not known: symbols cannot be placed');
    return this.base + address;
  }

  /** A process's address space. */
  space({ cr3 }: WindowsProcess): AddressSpace {
    return this.#vmi.space(cr3, this.kernel.paging);
  }

  /**
   * Lists the processes, by the kernel's own list.
   *
   * @param most stop after so many
   */
  processes(most: number = MOST_PROCESSES): WindowsProcesses {
    const type = new ProcessType(this.profile);
    const seen = new Set<bigint>();
    const processes: WindowsProcess[] = [];
    let at = this.#system;
    try {
      // System is the first of the list, so that what comes before it is the list's head, which is no process
      const head = this.kernel.u64(at + BigInt(type.links) + 8n) - BigInt(type.links);
      do {
        if (seen.has(at)) return { processes, end: 'loop', at };
        if (processes.length >= most) return { processes, end: 'limit', at };
        seen.add(at);
        if (at !== head) processes.push(type.process(this.kernel, at));
        at = toBigint(this.kernel.u64(at + BigInt(type.links)) - BigInt(type.links));
      } while (at !== this.#system);
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      return { processes, end: 'fault', at };
    }
    return { processes, end: 'complete', at };
  }
}

/** Where `_EPROCESS` has what is read of it. */
class ProcessType {
  readonly name: number;
  readonly links: number;
  readonly #type: StructType;
  readonly #pid: number;
  readonly #parent: number;
  readonly #table: number;

  constructor(profile: Profile) {
    this.#type = profile.type('_EPROCESS');
    this.name = this.#type.offset('ImageFileName');
    this.links = this.#type.offset('ActiveProcessLinks');
    this.#pid = this.#type.offset('UniqueProcessId');
    this.#parent = this.#type.offset('InheritedFromUniqueProcessId');
    this.#table = this.#type.offset('Pcb') + profile.type('_KPROCESS').offset('DirectoryTableBase');
  }

  process(kernel: AddressSpace, address: bigint): WindowsProcess {
    const at = (offset: number): bigint => address + BigInt(offset);
    return {
      address,
      pid: Number(kernel.u64(at(this.#pid)) & 0xffff_ffffn),
      ppid: Number(kernel.u64(at(this.#parent)) & 0xffff_ffffn),
      name: kernel.string(at(this.name), 15),
      cr3: kernel.u64(at(this.#table)) & TABLE,
    };
  }

  /** Whether System's `_EPROCESS` is at a physical address; and, through its own tables, where it is mapped. */
  systemAt(vmi: Introspector, physical: number): { kernel: AddressSpace; system: bigint } | null {
    if (physical < 0 || physical % 8 !== 0) return null;
    try {
      const memory = vmi.physical;
      const cr3 = memory.u64(physical + this.#table) & TABLE;
      if (cr3 === 0n || memory.u64(physical + this.#pid) !== BigInt(SYSTEM_PID)) return null;
      const kernel = vmi.space(cr3, { mode: '4-level' });
      // the next process points back to this one
      const links = kernel.u64(memory.u64(physical + this.links) + 8n);
      return kernel.translate(links) === physical + this.links ? { kernel, system: links - BigInt(this.links) } : null;
    } catch (error) {
      if (error instanceof MemoryFault || error instanceof RangeError) return null;
      throw error;
    }
  }
}

/** The kernel begins where its system call entry, which LSTAR holds, is as far away as the profile says. */
function kernelBase(vmi: Introspector, profile: Profile, kernel: AddressSpace): bigint | null {
  if (vmi.domid === null) return null;
  const { msr_lstar: entry } = vmi.registers(0);
  for (const name of ENTRIES.filter((one) => profile.hasSymbol(one))) {
    const base = entry - profile.symbol(name);
    const start = new Uint8Array(2);
    if (
      base > 0n &&
      base % 4096n === 0n &&
      kernel.readInto(base, start) === 2 &&
      start[0] === 0x4d &&
      start[1] === 0x5a
    ) {
      return base;
    }
  }
  return null;
}
