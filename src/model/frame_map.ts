/**
 * Frame number to page-table entry, for millions of entries: open addressing over typed arrays, 17 bytes a slot. A
 * JavaScript Map of the same entries takes four times the memory and makes an object of every entry.
 */

const EMPTY = -1;
const FIRST_CAPACITY = 64;

export class FrameMap {
  #keys = new Float64Array(FIRST_CAPACITY).fill(EMPTY);
  #mfns = new Float64Array(FIRST_CAPACITY);
  #attributes = new Uint8Array(FIRST_CAPACITY);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Slot of a frame for {@link mfnAt} and {@link attributesAt}, or -1. Valid until the map is changed. */
  find(frame: number): number {
    const keys = this.#keys;
    const mask = keys.length - 1;
    for (let slot = hash(frame) & mask; ; slot = (slot + 1) & mask) {
      const key = keys[slot];
      if (key === frame) return slot;
      if (key === EMPTY) return -1;
    }
  }

  mfnAt(slot: number): number {
    return this.#mfns[slot] ?? 0;
  }

  attributesAt(slot: number): number {
    return this.#attributes[slot] ?? 0;
  }

  set(frame: number, mfn: number, attributes: number): void {
    let slot = this.find(frame);
    if (slot < 0) {
      // three quarters full at most: probes stay short
      if ((this.#size + 1) * 4 > this.#keys.length * 3) this.#grow();
      slot = this.#insert(frame);
      this.#size++;
    }
    this.#mfns[slot] = mfn;
    this.#attributes[slot] = attributes;
  }

  delete(frame: number): void {
    let hole = this.find(frame);
    if (hole < 0) return;
    this.#size--;
    const keys = this.#keys;
    const mask = keys.length - 1;
    // pull later members of the probe chain back, so that no tombstones pile up
    for (let slot = (hole + 1) & mask; keys[slot] !== EMPTY; slot = (slot + 1) & mask) {
      const key = keys[slot] ?? EMPTY;
      if (((slot - (hash(key) & mask)) & mask) < ((slot - hole) & mask)) continue;
      keys[hole] = key;
      this.#mfns[hole] = this.#mfns[slot] ?? 0;
      this.#attributes[hole] = this.#attributes[slot] ?? 0;
      hole = slot;
    }
    keys[hole] = EMPTY;
  }

  clear(): void {
    this.#allocate(FIRST_CAPACITY);
    this.#size = 0;
  }

  /** Calls `visit` for each entry, in no order. The map must not be changed meanwhile. */
  forEach(visit: (frame: number, mfn: number, attributes: number) => void): void {
    this.#keys.forEach((key, slot) => {
      if (key !== EMPTY) visit(key, this.mfnAt(slot), this.attributesAt(slot));
    });
  }

  #insert(frame: number): number {
    const keys = this.#keys;
    const mask = keys.length - 1;
    let slot = hash(frame) & mask;
    while (keys[slot] !== EMPTY) slot = (slot + 1) & mask;
    keys[slot] = frame;
    return slot;
  }

  #grow(): void {
    const keys = this.#keys;
    const mfns = this.#mfns;
    const attributes = this.#attributes;
    this.#allocate(keys.length * 2);
    keys.forEach((key, old) => {
      if (key === EMPTY) return;
      const slot = this.#insert(key);
      this.#mfns[slot] = mfns[old] ?? 0;
      this.#attributes[slot] = attributes[old] ?? 0;
    });
  }

  #allocate(capacity: number): void {
    this.#keys = new Float64Array(capacity).fill(EMPTY);
    this.#mfns = new Float64Array(capacity);
    this.#attributes = new Uint8Array(capacity);
  }
}

/** Frame numbers come in runs: multiplying by a large odd number spreads them over the table. */
function hash(frame: number): number {
  const mixed = Math.imul(frame, 0x9e3779b1) ^ Math.imul(frame / 0x1_0000_0000, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}
