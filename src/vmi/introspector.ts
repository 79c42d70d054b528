/** Looking into a guest: its memory, its address spaces, its registers. */

import { checkCount, checkDomid, checkObject } from '../hypervisor/check.js';
import { XenError } from '../hypervisor/error.js';
import { xc_domain_pause, xc_domain_unpause } from '../xc/domain.js';
import { type HvmCpu, readHvmCpu } from '../xc/hvm_cpu.js';
import type { XcInterface } from '../xc/interface.js';
import { AddressSpace } from './address_space.js';
import { DomainMemory, type DomainMemoryOptions } from './domain_memory.js';
import { Freshness } from './freshness.js';
import { MemoryImage } from './image.js';
import type { MemorySource } from './memory_source.js';
import { checkPaging, type Paging, pagingOf } from './paging.js';
import { PhysicalMemory } from './physical_memory.js';

export interface IntrospectorOptions extends DomainMemoryOptions {
  /** Translations that each address space keeps. Default 16,384: 256 KiB of ours for 64 MiB of theirs. */
  readonly translations?: number;
}

/** Address spaces that are remembered. */
const MOST_SPACES = 256;

/**
 * A guest's memory, live or from an image.
 * ```ts
 * using vmi = Introspector.open(xch, domid);
 * const kernel = vmi.spaceOf(0);                    // what vCPU 0 runs in now
 * kernel.read(0xffffffff81000000n, 64);
 * ```
 *
 * **What is kept, and for how long.** Pages stay mapped, so that what the guest writes is seen at once; but a frame that
 * gets *another* page (ballooning, memory sharing, hotplug) is not noticed while its mapping is kept, which is a second
 * at most (`maxAge`). Translations are kept until the next turn of the event loop. Both are dropped by {@link invalidate}
 * and at both ends of {@link pause}; within it, and within {@link hold}, translations are kept all the time. A program
 * that never returns to the event loop calls {@link invalidate} itself. altp2m changes need nothing of it: memory is seen
 * as the host has it, whatever the views show the guest. An image never changes.
 */
export class Introspector implements Disposable {
  readonly source: MemorySource;
  /** Guest-physical memory. */
  readonly physical: PhysicalMemory;
  readonly #xch: XcInterface | null;
  readonly #domid: number;
  readonly #translations: number;
  readonly #freshness: Freshness;
  readonly #spaces = new Map<string, AddressSpace>();
  #paging: Paging | null = null;

  private constructor(source: MemorySource, xch: XcInterface | null, domid: number, translations: number) {
    checkCount(translations, 'options.translations');
    this.source = source;
    this.physical = new PhysicalMemory(source);
    this.#xch = xch;
    this.#domid = domid;
    this.#translations = translations;
    this.#freshness = new Freshness(source.live);
  }

  /** Looks into a live domain. Nothing is asked of Xen yet. */
  static open(xch: XcInterface, domid: number, options: IntrospectorOptions = {}): Introspector {
    checkObject(options, 'options');
    checkDomid(domid);
    const { translations = 16384, ...rest } = options;
    return new Introspector(new DomainMemory(xch, domid, rest), xch, domid, translations);
  }

  /**
   * Looks into a saved image: a file's name, one that is open, or any memory that the caller has.
   *
   * @throws ImageFormatError the file's structure is broken
   */
  static image(image: string | MemorySource, options: { readonly translations?: number } = {}): Introspector {
    const source = typeof image === 'string' ? MemoryImage.open(image) : image;
    return new Introspector(source, null, -1, options.translations ?? 16384);
  }

  /** The domain's id; null: this is an image. */
  get domid(): number | null {
    return this.#xch ? this.#domid : null;
  }

  /**
   * Registers of a vCPU of a live HVM or PVH domain, which is paused while Xen collects them.
   *
   * @throws TypeError this is an image, which has none
   * @throws XenError `ENOENT`: there is no such vCPU, or it is down. `EINVAL`: the domain is PV. `ESRCH`. `EPERM`.
   */
  registers(vcpu = 0): HvmCpu {
    if (!this.#xch) throw new TypeError('an image has no registers: name CR3 and the paging mode yourself');
    return readHvmCpu(this.#xch, this.#domid, vcpu);
  }

  /** The address space that a vCPU is in now. */
  spaceOf(vcpu = 0): AddressSpace {
    const registers = this.registers(vcpu);
    return this.space(registers.cr3, pagingOf(registers));
  }

  /**
   * The address space of a CR3. Asked for again it is the same object, with the translations that it has.
   *
   * @param paging how it is walked. Default: as vCPU 0 does; for an image, four levels.
   */
  space(cr3: bigint, paging: Paging = this.#defaultPaging()): AddressSpace {
    if (typeof cr3 !== 'bigint') throw new TypeError(`cr3 must be a bigint, not ${typeof cr3}`);
    checkPaging(paging);
    const key = `${cr3} ${paging.mode} ${paging.nx} ${paging.pse} ${paging.physicalBits}`;
    const known = this.#spaces.get(key);
    if (known) return known;
    const space = new AddressSpace(this.source, this.#freshness, paging, cr3, this.#translations);
    const [oldest] = this.#spaces.keys();
    if (this.#spaces.size >= MOST_SPACES && oldest !== undefined) this.#spaces.delete(oldest);
    this.#spaces.set(key, space);
    return space;
  }

  #defaultPaging(): Paging {
    this.#paging ??= this.#xch ? pagingOf(this.registers(0)) : { mode: '4-level' };
    return this.#paging;
  }

  /** Forgets mappings, translations and how vCPU 0 walks: whatever is asked for next is looked up anew. */
  invalidate(): void {
    this.#freshness.renew();
    this.#paging = null;
    this.source.drop();
  }

  /** Says that the guest does not run until the result is disposed of: what was looked up until then stays true. */
  hold(): Disposable {
    this.invalidate();
    return this.#freshness.hold();
  }

  /**
   * Pauses the domain until the result is disposed of, and holds.
   * ```ts
   * using paused = vmi.pause();
   * ```
   *
   * @throws TypeError this is an image
   */
  pause(): Disposable {
    const xch = this.#xch;
    if (!xch) throw new TypeError('an image does not run');
    xc_domain_pause(xch, this.#domid);
    const held = this.hold();
    let paused = true;
    return {
      [Symbol.dispose]: () => {
        if (!paused) return;
        paused = false;
        held[Symbol.dispose]();
        try {
          xc_domain_unpause(xch, this.#domid);
        } catch (error) {
          if (!(error instanceof XenError) || error.code !== 'ESRCH') throw error;
        }
      },
    };
  }

  /** Lets go of everything that is mapped or open. Twice is harmless. */
  close(): void {
    this.#spaces.clear();
    this.source.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
