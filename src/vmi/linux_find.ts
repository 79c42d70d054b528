/**
 * Where a Linux kernel lies. KASLR moves it by a multiple of 2 MiB twice: in its address space, and in physical memory.
 * What is found is believed only when the kernel's first task, seen through the kernel's own tables, is where it must be.
 */

import { toBigint } from './address.js';
import type { AddressSpace } from './address_space.js';
import { MemoryFault } from './fault.js';
import type { Introspector } from './introspector.js';
import type { PagingMode } from './paging.js';
import { textPattern } from './pattern.js';
import { type Profile, ProfileError, type StructType } from './profile.js';

/** The guest does not run the kernel that the profile is of. */
export class GuestMismatchError extends Error {
  override readonly name = 'GuestMismatchError';
  readonly code = 'ERR_XENCTRL_GUEST_MISMATCH';
}

/** What {@link findLinux} found. */
export interface LinuxPlace {
  readonly kernel: AddressSpace;
  readonly virtualShift: bigint;
  readonly physicalShift: number;
  readonly banner: string | null;
}

/** Where the kernel's image is mapped: `__START_KERNEL_map`. */
const KERNEL_MAP = 0xffff_ffff_8000_0000n;
/** `KERNEL_IMAGE_SIZE` with KASLR, and the alignment of what it does. */
const MOST_SHIFT = 0x4000_0000n;
const ALIGN = 0x20_0000n;
/** Names of the topmost table: since 4.13, and before. */
const TOP_TABLES = ['init_top_pgt', 'swapper_pg_dir', 'init_level4_pgt'];
const MODES: readonly PagingMode[] = ['4-level', '5-level'];
const BANNER = 'Linux version ';
const MOST_BANNER = 512;

export async function findLinux(vmi: Introspector, profile: Profile, signal?: AbortSignal): Promise<LinuxPlace> {
  const search = new Search(vmi, profile);
  const place = search.byEntry() ?? (await search.byFirstTask(signal));
  if (place) return place;
  throw new GuestMismatchError(await mismatch(vmi, profile, signal));
}

class Search {
  readonly #vmi: Introspector;
  readonly #profile: Profile;
  readonly #task: StructType;
  readonly #initTask: bigint;

  constructor(vmi: Introspector, profile: Profile) {
    this.#vmi = vmi;
    this.#profile = profile;
    this.#task = profile.type('task_struct');
    this.#initTask = profile.symbol('init_task');
  }

  /** By the address at which system calls enter the kernel, which each vCPU holds in LSTAR. */
  byEntry(): LinuxPlace | null {
    if (this.#vmi.domid === null || !this.#profile.hasSymbol('entry_SYSCALL_64')) return null;
    const { msr_lstar: entry } = this.#vmi.registers(0);
    const shift = BigInt.asUintN(64, entry - this.#profile.symbol('entry_SYSCALL_64'));
    const space = this.#vmi.spaceOf(0);
    if (!isShift(shift) || space.pointerBytes !== 8) return null;
    const physical = space.translate(BigInt.asUintN(64, this.#initTask + shift));
    return physical < 0 ? null : this.#verify(physical, shift, [space.paging.mode]);
  }

  /** By the name of the first task, in all memory. */
  async byFirstTask(signal: AbortSignal | undefined): Promise<LinuxPlace | null> {
    const comm = this.#task.offset('comm');
    for await (const hit of this.#vmi.physical.search(textPattern('swapper'), { signal })) {
      const physical = Number(hit) - comm;
      if (physical < 0 || physical % 8 !== 0) continue;
      const shift = this.#shiftOf(physical);
      const place = shift === null ? null : this.#verify(physical, shift, MODES);
      if (place) return place;
    }
    return null;
  }

  /** The first task is its own parent and its own leader: these pointers say where it is mapped. */
  #shiftOf(physical: number): bigint | null {
    const pointers = ['real_parent', 'parent', 'group_leader']
      .filter((name) => this.#task.has(name))
      .map((name) => this.#ifThere(() => this.#vmi.physical.u64(physical + this.#task.offset(name))));
    const [first] = pointers;
    if (first == null || pointers.some((one) => one !== first)) return null;
    const shift = BigInt.asUintN(64, first - this.#initTask);
    return isShift(shift) ? shift : null;
  }

  #verify(physical: number, virtualShift: bigint, modes: readonly PagingMode[]): LinuxPlace | null {
    const { physical: memory } = this.#vmi;
    const name = this.#ifThere(() => memory.string(physical + this.#task.offset('comm'), 16));
    const pid = this.#ifThere(() => memory.i32(physical + this.#task.offset('pid')));
    if (name === null || !/^swapper(\/0)?$/.test(name) || pid !== 0) return null;
    const physicalShift = physical - Number(this.#initTask - KERNEL_MAP);
    if (physicalShift % Number(ALIGN) !== 0) return null;
    const banner = this.#banner(physicalShift);
    if (banner === undefined) return null;
    const table = BigInt(Number(this.#topTable() - KERNEL_MAP) + physicalShift);
    for (const mode of modes) {
      const kernel = this.#vmi.space(table, { mode });
      const at = kernel.translate(BigInt.asUintN(64, this.#initTask + virtualShift));
      if (at === physical) return { kernel, virtualShift, physicalShift, banner };
    }
    return null;
  }

  /** Undefined: there is another one than the profile's; null: the profile has none. */
  #banner(physicalShift: number): string | null | undefined {
    if (!this.#profile.hasSymbol('linux_banner')) return null;
    const at = Number(this.#profile.symbol('linux_banner') - KERNEL_MAP) + physicalShift;
    const found = this.#ifThere(() => this.#vmi.physical.string(at, MOST_BANNER)) ?? '';
    const wanted = bannerOf(this.#profile) ?? '';
    return found.startsWith(BANNER) && found.startsWith(wanted) ? found.trimEnd() : undefined;
  }

  #topTable(): bigint {
    const name = TOP_TABLES.find((one) => this.#profile.hasSymbol(one));
    if (name === undefined) throw new ProfileError(`the profile has none of the symbols ${TOP_TABLES.join(', ')}`);
    return this.#profile.symbol(name);
  }

  #ifThere<T>(read: () => T): T | null {
    try {
      return read();
    } catch (error) {
      if (error instanceof MemoryFault) return null;
      throw error;
    }
  }
}

function isShift(shift: bigint): boolean {
  return shift < MOST_SHIFT && shift % ALIGN === 0n;
}

/** The profile's banner, as far as it is the same in memory. */
function bannerOf(profile: Profile): string | null {
  const data = profile.constant('linux_banner');
  return data && new TextDecoder().decode(data).replace(/\0.*$/s, '').trimEnd();
}

/** Says which kernel there is instead. */
async function mismatch(vmi: Introspector, profile: Profile, signal: AbortSignal | undefined): Promise<string> {
  const wanted = bannerOf(profile);
  const profileIs = wanted === null ? '' : ` The profile is of: ${wanted}.`;
  for await (const hit of vmi.physical.search(textPattern(BANNER), { signal })) {
    const found = vmi.physical.string(toBigint(hit), MOST_BANNER).trimEnd();
    // the format string that the banner is made of, and mentions in logs, are no banners
    if (!/^Linux version \d+\.\d+[^\n]*#\d/.test(found)) continue;
    return `the profile's kernel is not in this memory.${profileIs} The guest is: ${found.split('\n')[0]}`;
  }
  return `no Linux kernel was found in this memory.${profileIs}`;
}
