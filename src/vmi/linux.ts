/** Linux on x86-64, seen from outside: where its kernel lies, and its processes. */

import { hexAddress } from './address.js';
import type { AddressSpace } from './address_space.js';
import { MemoryFault } from './fault.js';
import type { Introspector } from './introspector.js';
import { findLinux, type LinuxPlace } from './linux_find.js';
import type { Profile, StructType } from './profile.js';

/** A process of the guest. */
export interface LinuxProcess {
  /** Its `task_struct`. */
  readonly address: bigint;
  readonly pid: number;
  readonly ppid: number;
  /** Its user, null when that cannot be read. */
  readonly uid: number | null;
  /** The program's name, at most 15 characters. */
  readonly comm: string;
  /** Null: a thread of the kernel, which has no address space of its own. */
  readonly cr3: bigint | null;
}

/** The processes that were found, and how the list ended. */
export interface LinuxProcesses {
  readonly processes: readonly LinuxProcess[];
  /**
   * `'complete'`: it came back to its beginning. Otherwise there may be more: `'loop'`: it came to an entry for the second
   * time, `'fault'`: an entry cannot be read, `'limit'`: it is longer than was asked for. A guest that runs changes the
   * list while it is read; one that is hostile may do anything to it.
   */
  readonly end: 'complete' | 'loop' | 'fault' | 'limit';
  /** The entry at which it ended. */
  readonly at: bigint;
}

export interface LinuxOptions {
  /** Stops the search for the kernel. */
  readonly signal?: AbortSignal;
}

const MOST_PROCESSES = 2 ** 16;

/**
 * A Linux guest, found by {@link Linux.find}.
 * ```ts
 * const linux = await Linux.find(vmi, Profile.open('debian-12.json.gz'));
 * for (const { pid, comm } of linux.processes().processes) console.log(pid, comm);
 * ```
 */
export class Linux {
  readonly profile: Profile;
  /** The kernel's address space. */
  readonly kernel: AddressSpace;
  /** How far KASLR moved the kernel: add it to a symbol's address as linked. */
  readonly virtualShift: bigint;
  /** How far from its place as linked the kernel lies in guest-physical memory. */
  readonly physicalShift: number;
  /** What the guest calls itself: `'Linux version 6.1.0-13-amd64 ...'`; null: the profile does not say where that is. */
  readonly banner: string | null;
  readonly #vmi: Introspector;

  private constructor(vmi: Introspector, profile: Profile, place: LinuxPlace) {
    this.profile = profile;
    this.kernel = place.kernel;
    this.virtualShift = place.virtualShift;
    this.physicalShift = place.physicalShift;
    this.banner = place.banner;
    this.#vmi = vmi;
  }

  /**
   * Finds the kernel: on a live guest by where its vCPUs enter it, and otherwise, or where that does not help, by a search
   * for its first process in all memory.
   *
   * @throws GuestMismatchError there is no such kernel: the message says which one there is, when that can be told
   * @throws ProfileError the profile lacks what is needed
   * @throws CallAbortedError when `options.signal` fires
   */
  static async find(vmi: Introspector, profile: Profile, options: LinuxOptions = {}): Promise<Linux> {
    return new Linux(vmi, profile, await findLinux(vmi, profile, options.signal));
  }

  /** Where a symbol is in this guest. @throws ProfileError there is none */
  symbol(name: string): bigint {
    return BigInt.asUintN(64, this.profile.symbol(name) + this.virtualShift);
  }

  /** The symbol that an address is in, for people: `'do_exit+0x12'`; null: it is none of the kernel's. */
  symbolAt(address: bigint): string | null {
    const found = this.profile.symbolBefore(BigInt.asUintN(64, address - this.virtualShift));
    if (!found || found.offset >= 2n ** 20n) return null;
    return found.offset === 0n ? found.name : `${found.name}+${hexAddress(found.offset)}`;
  }

  /** A process's address space; null for a thread of the kernel. */
  space({ cr3 }: LinuxProcess): AddressSpace | null {
    return cr3 === null ? null : this.#vmi.space(cr3, this.kernel.paging);
  }

  /**
   * Lists the processes, by the kernel's own list.
   *
   * @param most stop after so many
   */
  processes(most: number = MOST_PROCESSES): LinuxProcesses {
    const task = this.profile.type('task_struct');
    const reader = new TaskReader(this.kernel, this.profile, task);
    const next = task.offset('tasks') + this.profile.type('list_head').offset('next');
    const first = this.symbol('init_task');
    const seen = new Set<bigint>();
    const processes: LinuxProcess[] = [];
    let at = first;
    try {
      do {
        if (seen.has(at)) return { processes, end: 'loop', at };
        if (processes.length >= most) return { processes, end: 'limit', at };
        seen.add(at);
        processes.push(reader.process(at));
        at = BigInt.asUintN(64, this.kernel.u64(at + BigInt(next)) - BigInt(task.offset('tasks')));
      } while (at !== first);
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      return { processes, end: 'fault', at };
    }
    return { processes, end: 'complete', at };
  }
}

/** Reads what is told of a task. The offsets are looked up once. */
class TaskReader {
  readonly #kernel: AddressSpace;
  readonly #pid: number;
  readonly #comm: number;
  readonly #parent: number;
  readonly #tgid: number;
  readonly #mm: number;
  readonly #pgd: number;
  readonly #cred: number | null;
  readonly #uid: number;

  constructor(kernel: AddressSpace, profile: Profile, task: StructType) {
    this.#kernel = kernel;
    this.#pid = task.offset('pid');
    this.#tgid = task.offset('tgid');
    this.#comm = task.offset('comm');
    this.#parent = task.offset('real_parent');
    this.#mm = task.offset('mm');
    this.#pgd = profile.type('mm_struct').offset('pgd');
    this.#cred = task.has('cred') && profile.hasType('cred') ? task.offset('cred') : null;
    this.#uid = this.#cred === null ? 0 : profile.type('cred').offset('uid');
  }

  /** @throws MemoryFault the task itself cannot be read */
  process(address: bigint): LinuxProcess {
    const kernel = this.#kernel;
    const at = (offset: number): bigint => address + BigInt(offset);
    const parent = kernel.u64(at(this.#parent));
    return {
      address,
      pid: kernel.i32(at(this.#pid)),
      ppid: orElse(0, () => kernel.i32(parent + BigInt(this.#tgid))),
      uid: this.#cred === null ? null : this.#uidOf(at(this.#cred)),
      comm: kernel.string(at(this.#comm), 16),
      cr3: this.#cr3Of(kernel.u64(at(this.#mm))),
    };
  }

  #uidOf(credAt: bigint): number | null {
    return orElse(null, () => this.#kernel.u32(this.#kernel.u64(credAt) + BigInt(this.#uid)));
  }

  #cr3Of(mm: bigint): bigint | null {
    if (mm === 0n) return null;
    return orElse(null, () => {
      const pgd = this.#kernel.translate(this.#kernel.u64(mm + BigInt(this.#pgd)));
      return pgd < 0 ? null : BigInt(pgd);
    });
  }
}

/** What a guest's pointer leads to, when it leads anywhere. */
function orElse<T>(otherwise: T, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof MemoryFault || error instanceof RangeError) return otherwise;
    throw error;
  }
}
