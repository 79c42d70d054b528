/** Guest memory that a test lays out: frames that are there, and frames that are not. */

import { asPage, type MemorySource, type Page, readEachFrame } from '#dist/vmi/memory_source.js';

export class TestMemory implements MemorySource {
  live = false;
  readonly #pages = new Map<number, Page>();
  /** Frames that were asked for, in order. */
  readonly asked: number[] = [];

  /** @param frames those that have memory */
  constructor(frames: Iterable<number> = []) {
    for (const frame of frames) this.add(frame);
  }

  add(frame: number): Page {
    const page = asPage(new Uint8Array(4096));
    this.#pages.set(frame, page);
    return page;
  }

  get frames(): number {
    return Math.max(-1, ...this.#pages.keys()) + 1;
  }

  page(frame: number): Page | null {
    this.asked.push(frame);
    return this.#pages.get(frame) ?? null;
  }

  writablePage(frame: number): Page | null {
    return this.#pages.get(frame) ?? null;
  }

  readFrames(first: number, count: number, target: Uint8Array, present: Uint8Array): number {
    return readEachFrame((frame) => this.#pages.get(frame)?.bytes ?? null, first, count, target, present);
  }

  put64(address: number, value: bigint): void {
    this.#at(address).setBigUint64(address % 4096, value, true);
  }

  put32(address: number, value: number): void {
    this.#at(address).setUint32(address % 4096, value, true);
  }

  #at(address: number): DataView {
    const page = this.#pages.get(Math.floor(address / 4096));
    if (!page) throw new Error(`the test has no memory at 0x${address.toString(16)}`);
    return page.view;
  }

  drop(): void {}
  close(): void {}
  [Symbol.dispose](): void {}
}
