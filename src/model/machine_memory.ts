/** The machine's memory: which frames are free, and what the used ones hold. A frame costs nothing until it is written. */

import { DOMID_IO, DOMID_XEN, PAGE_SIZE } from '../abi/xen.js';

/** What one frame holds, and the mapping that it lives in, if any. */
interface Content {
  owner: number;
  bytes: Uint8Array;
  home: Home | null;
  /** References that Xen itself holds to it. */
  holds: number;
  /** Called when the last mapping of it closes, or Xen lets go of it: its domain gave it up before that. */
  abandoned: (() => void) | null;
}

/** Memory that several frames share while a foreign mapping shows them side by side. */
interface Home {
  readonly buffer: ArrayBuffer;
  readonly mfns: readonly (number | null)[];
  /** Mappings that show it. */
  users: number;
}

/** Frames shown side by side until {@link PinnedFrames.release}. */
export interface PinnedFrames {
  readonly bytes: Uint8Array;
  release(): void;
}

const ZEROES: Uint8Array = new Uint8Array(PAGE_SIZE);

/** Whether the frame need not be remembered: nobody has a claim to it, and it holds zeroes. */
function isNothing({ holds, abandoned, bytes }: Content): boolean {
  return holds === 0 && abandoned === null && Buffer.compare(bytes, ZEROES) === 0;
}

export class MachineMemory {
  readonly totalPages: number;
  #nextMfn = 0x1000;
  #used = 0;
  /** Freed single frames; the last one freed is the first one used again, as with Xen's buddy lists. */
  #freed: number[] = [];
  readonly #contents = new Map<number, Content>();
  /** Frames of Xen's own, that domains may be shown. */
  readonly #xen = new Set<number>();
  /** Frames of devices: ranges. */
  readonly #devices: (readonly [first: number, last: number])[] = [];

  constructor(totalPages: number) {
    this.totalPages = totalPages;
  }

  get freePages(): number {
    return this.totalPages - this.#used;
  }

  /** Uses pages up without saying which. False when there are not so many. */
  reserve(pages: number): boolean {
    if (pages > this.freePages) return false;
    this.#used += pages;
    return true;
  }

  /** Takes {@link reserve} back. */
  release(pages: number): void {
    this.#used -= pages;
  }

  /** The first of 2^order frames for a domain, aligned to that number; null when memory is short. */
  allocate(owner: number, order: number): number | null {
    const count = 2 ** order;
    if (count > this.freePages) return null;
    this.#used += count;
    const again = order === 0 ? this.#freed.pop() : undefined;
    if (again !== undefined) {
      const left = this.#contents.get(again);
      if (left) left.owner = owner;
      return again;
    }
    let mfn = Math.ceil(this.#nextMfn / count) * count;
    for (let device = this.#deviceIn(mfn, count); device; device = this.#deviceIn(mfn, count)) {
      mfn = Math.ceil((device[1] + 1) / count) * count;
    }
    this.#nextMfn = mfn + count;
    return mfn;
  }

  /** From now on these frames are a device's: nobody gets them as memory, and what they hold is the device's. */
  claimDevice(first: number, last: number): void {
    if (!this.#devices.some(([from, to]) => from <= first && to >= last)) this.#devices.push([first, last]);
  }

  isDevice(mfn: number): boolean {
    return this.#devices.length > 0 && this.#deviceIn(mfn, 1) !== undefined;
  }

  #deviceIn(mfn: number, count: number): readonly [first: number, last: number] | undefined {
    return this.#devices.find(([first, last]) => first < mfn + count && last >= mfn);
  }

  /** A zeroed frame of Xen's own, to be shared with a domain; null when memory is short. It is no page of the domain's. */
  allocateXen(): number | null {
    const mfn = this.allocate(DOMID_XEN, 0);
    if (mfn === null) return null;
    this.#contents.delete(mfn);
    this.#xen.add(mfn);
    return mfn;
  }

  /** Gives back what {@link allocateXen} gave. */
  freeXen(mfn: number): void {
    this.#xen.delete(mfn);
    this.free(mfn, () => this.#contents.delete(mfn));
  }

  isXen(mfn: number): boolean {
    return this.#xen.has(mfn);
  }

  /**
   * Gives back a frame that a live domain gives up. It keeps its contents until somebody writes it: Xen scrubs only what
   * a dying domain leaves (`opt_scrub_domheap` is off by default). A frame that a mapping shows is the domain's until
   * the mapping closes.
   *
   * @param freed called when the frame is free
   */
  free(mfn: number, freed: () => void): void {
    const give = (): void => {
      this.#used--;
      this.#freed.push(mfn);
      freed();
    };
    const content = this.#contents.get(mfn);
    if (content && (content.home || content.holds > 0)) content.abandoned = give;
    else give();
  }

  /**
   * Takes all `pages` frames of a dying domain back, scrubbed; but those that mappings show, each when its mapping closes.
   *
   * @param freed called for each of those
   * @returns how many they are
   */
  releaseDomain(owner: number, pages: number, freed: () => void): number {
    let held = 0;
    for (const [mfn, content] of this.#contents) {
      if (content.owner !== owner) continue;
      if (!content.home && content.holds === 0) {
        this.#contents.delete(mfn);
        continue;
      }
      held++;
      content.abandoned = () => {
        this.#contents.delete(mfn);
        this.#used--;
        freed();
      };
    }
    this.#used -= pages - held;
    return held;
  }

  /** The page for reading; untouched pages share one page of zeroes, which must not be written. */
  peek(mfn: number): Uint8Array {
    return this.#contents.get(mfn)?.bytes ?? ZEROES;
  }

  /** The page for writing. */
  page(owner: number, mfn: number): Uint8Array {
    const content = this.#contents.get(mfn);
    if (content) return content.bytes;
    const bytes = new Uint8Array(PAGE_SIZE);
    if (this.isDevice(mfn)) owner = DOMID_IO; // whoever is the first to write it
    this.#contents.set(mfn, { owner, bytes, home: null, holds: 0, abandoned: null });
    return bytes;
  }

  /** Whether a mapping shows the frame, or Xen holds it. */
  isReferred(mfn: number): boolean {
    const content = this.#contents.get(mfn);
    return content !== undefined && (content.home !== null || content.holds > 0);
  }

  /** Copies what a frame holds to another of a domain. A frame of zeroes costs nothing. */
  copy(from: number, owner: number, to: number): void {
    const content = this.#contents.get(from);
    if (content) this.page(owner, to).set(content.bytes);
    else this.#contents.get(to)?.bytes.fill(0);
  }

  /** Xen refers to a domain's frame (`get_page_and_type`): it stays the domain's until {@link letGo}. */
  hold(owner: number, mfn: number): void {
    this.page(owner, mfn);
    const content = this.#contents.get(mfn);
    if (content) content.holds++;
  }

  /** Takes one {@link hold} back. */
  letGo(mfn: number): void {
    const content = this.#contents.get(mfn);
    if (!content || content.holds === 0) throw new Error(`nobody holds frame ${mfn}`);
    content.holds--;
    if (content.holds === 0 && !content.home) this.#abandon(content);
  }

  #abandon(content: Content): void {
    const { abandoned } = content;
    content.abandoned = null;
    abandoned?.();
  }

  /**
   * Shows frames side by side; `null` is a page of zeroes that is no frame.
   *
   * @throws Error when one of them is shown side by side with others already
   */
  pin(owner: number, mfns: readonly (number | null)[]): PinnedFrames {
    const [only] = mfns;
    const shared = mfns.length === 1 && only != null ? this.#contents.get(only)?.home : null;
    if (shared && only != null) {
      shared.users++;
      const at = shared.mfns.indexOf(only) * PAGE_SIZE;
      return { bytes: new Uint8Array(shared.buffer, at, PAGE_SIZE), release: () => this.#unpin(shared) };
    }
    if (mfns.every((mfn) => mfn === null)) return noFrames(mfns.length);
    const home: Home = { buffer: new ArrayBuffer(mfns.length * PAGE_SIZE), mfns, users: 1 };
    const seen = new Set<number>();
    const taken = mfns.find(
      (mfn) => mfn !== null && (this.#contents.get(mfn)?.home || seen.size === seen.add(mfn).size),
    );
    if (taken !== undefined) {
      throw new Error('the model cannot show one frame in two mappings of several: map it alone, or close the other');
    }
    mfns.forEach((mfn, i) => {
      if (mfn !== null) this.#moveTo(owner, mfn, new Uint8Array(home.buffer, i * PAGE_SIZE, PAGE_SIZE), home);
    });
    return { bytes: new Uint8Array(home.buffer), release: () => this.#unpin(home) };
  }

  #unpin(home: Home): void {
    home.users--;
    if (home.users > 0) return;
    for (const mfn of home.mfns) {
      const content = mfn === null ? undefined : this.#contents.get(mfn);
      if (mfn === null || content?.home !== home) continue;
      if (isNothing(content)) {
        this.#contents.delete(mfn); // it was only looked at: a search through all of a guest costs nothing that stays
        continue;
      }
      this.#moveTo(content.owner, mfn, new Uint8Array(PAGE_SIZE), null);
      const moved = this.#contents.get(mfn);
      if (moved && moved.holds === 0) this.#abandon(moved);
    }
    // detaches the memory, so that views kept beyond the mapping are empty, as on a real one
    structuredClone(home.buffer, { transfer: [home.buffer] });
  }

  #moveTo(owner: number, mfn: number, bytes: Uint8Array, home: Home | null): void {
    bytes.set(this.peek(mfn));
    const had = this.#contents.get(mfn);
    const whose = had?.owner ?? (this.#xen.has(mfn) ? DOMID_XEN : this.isDevice(mfn) ? DOMID_IO : owner);
    this.#contents.set(mfn, { owner: whose, bytes, home, holds: had?.holds ?? 0, abandoned: had?.abandoned ?? null });
  }

  /** What {@link MachineMemory.restore} needs to make this memory again. */
  save(): MachineMemoryState {
    return {
      nextMfn: this.#nextMfn,
      used: this.#used,
      freed: [...this.#freed],
      xen: [...this.#xen],
      contents: [...this.#contents].map(([mfn, { owner, bytes }]) => [
        mfn,
        owner,
        Buffer.from(bytes).toString('base64'),
      ]),
    };
  }

  restore(state: MachineMemoryState): void {
    this.#nextMfn = state.nextMfn;
    this.#used = state.used;
    this.#freed = [...state.freed];
    this.#xen.clear();
    for (const mfn of state.xen) this.#xen.add(mfn);
    this.#contents.clear();
    for (const [mfn, owner, text] of state.contents) {
      this.#contents.set(mfn, {
        owner,
        bytes: new Uint8Array(Buffer.from(text, 'base64')),
        home: null,
        holds: 0,
        abandoned: null,
      });
    }
  }
}

/** A saved {@link MachineMemory}: plain JSON. */
export interface MachineMemoryState {
  readonly nextMfn: number;
  readonly used: number;
  readonly freed: readonly number[];
  readonly xen: readonly number[];
  /** `[mfn, owner, page in base64]` of every frame that was ever written. */
  readonly contents: readonly (readonly [mfn: number, owner: number, page: string])[];
}

/** Pages of zeroes that are no frames. They are made when somebody looks at them: who passes through holes does not. */
function noFrames(count: number): PinnedFrames {
  let bytes: Uint8Array<ArrayBuffer> | null = null;
  return {
    get bytes() {
      bytes ??= new Uint8Array(count * PAGE_SIZE);
      return bytes;
    },
    release: () => {
      if (bytes) structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
      bytes = null;
    },
  };
}
