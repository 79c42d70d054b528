/**
 * Packets found in a part of a capture. Not too many: finding them loads their headers into the processor's cache, where
 * they still are when they are worked on.
 */

export class PacketBatch {
  static readonly CAPACITY = 512;

  count = 0;
  /** Offset in the bytes, length and link type of each: what the native addon takes. */
  readonly places = new Uint32Array(3 * PacketBatch.CAPACITY);
  /** When each was captured: whole seconds since 1970, and the nanoseconds after them. */
  readonly seconds = new Float64Array(PacketBatch.CAPACITY);
  readonly nanoseconds = new Uint32Array(PacketBatch.CAPACITY);

  get full(): boolean {
    return this.count === PacketBatch.CAPACITY;
  }

  add(offset: number, length: number, linkType: number, seconds: number, nanoseconds: number): void {
    const { count, places } = this;
    places[3 * count] = offset;
    places[3 * count + 1] = length;
    places[3 * count + 2] = linkType;
    this.seconds[count] = seconds;
    this.nanoseconds[count] = nanoseconds;
    this.count = count + 1;
  }
}
