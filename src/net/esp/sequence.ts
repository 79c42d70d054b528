/** Sequence numbers: counting those that are sent, and the window over those that came (RFC 4303 section 2.2, 3.4.3). */

const LAST = 0xffffffff;

/** Splits a number of 64 bits. @throws RangeError */
function split(value: bigint, esn: boolean): readonly [high: number, low: number] {
  if (value < 0n || value >> (esn ? 64n : 32n) !== 0n) {
    throw new RangeError(`sequence must be a number of ${esn ? 64 : 32} bits, not ${value}`);
  }
  return [Number(value >> 32n), Number(value & 0xffffffffn)];
}

/** The numbers of packets that are sent. None is used twice: at the end there are no more. */
export class OutboundSequence {
  readonly #esn: boolean;
  #high: number;
  #low: number;

  /** @param used the number that was last used */
  constructor(esn: boolean, used: bigint) {
    this.#esn = esn;
    [this.#high, this.#low] = split(used, esn);
  }

  get high(): number {
    return this.#high;
  }

  get low(): number {
    return this.#low;
  }

  /** The number that was last used. */
  get used(): bigint {
    return (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }

  get exhausted(): boolean {
    return this.#low === LAST && (!this.#esn || this.#high === LAST);
  }

  /** Goes on to the next number; the caller has looked at {@link exhausted}. */
  advance(): void {
    if (this.#low !== LAST) this.#low++;
    else {
      this.#low = 0;
      this.#high++;
    }
  }
}

/** What the window says of a number: new, seen already, or older than what it remembers. */
export type ReplayVerdict = 'new' | 'replayed' | 'too-old';

/** What came already, of the last `size` numbers. With ESN it also says which upper half a packet's number must have. */
export class ReplayWindow {
  readonly #size: number;
  readonly #esn: boolean;
  /** A bit for each number, modulo a power of two that is not below the size. */
  readonly #seen: Uint32Array;
  readonly #mask: number;
  #high: number;
  #low: number;

  /** @param size 32 to 4096, or 0: none @param highest the highest number that came already */
  constructor(size: number, esn: boolean, highest: bigint) {
    if (size !== 0 && !(Number.isInteger(size) && size >= 32 && size <= 4096)) {
      throw new RangeError(`replayWindow must be 32 to 4096, or 0 for none, not ${size}`);
    }
    if (size === 0 && esn) throw new RangeError('ESN needs a replayWindow: it tells the upper halves of the numbers');
    this.#size = size;
    this.#esn = esn;
    const bits = 1 << (32 - Math.clz32(Math.max(size, 32) - 1));
    this.#seen = new Uint32Array(bits / 32).fill(LAST); // what came before is not taken again
    this.#mask = bits - 1;
    [this.#high, this.#low] = split(highest, esn);
  }

  /** The highest number that came. */
  get highest(): bigint {
    return (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }

  /** The upper half that goes with a packet's lower one: RFC 4303, appendix A2.2. -1 or 2^32: none can. */
  upperHalf(low: number): number {
    if (!this.#esn) return 0;
    const bottom = this.#low - this.#size + 1;
    if (bottom >= 0) return low >= bottom ? this.#high : this.#high + 1;
    return low >= bottom + 0x100000000 ? this.#high - 1 : this.#high;
  }

  /** Says whether a number is to be taken. */
  check(high: number, low: number): ReplayVerdict {
    if (high < 0 || high > LAST || (high === 0 && low === 0)) return 'too-old';
    if (this.#size === 0) return 'new';
    const behind = (this.#high - high) * 0x100000000 + this.#low - low;
    if (behind < 0) return 'new';
    if (behind >= this.#size) return 'too-old';
    const bit = low & this.#mask;
    return ((this.#seen[bit >>> 5] as number) >>> (bit & 31)) & 1 ? 'replayed' : 'new';
  }

  /** Remembers a number whose packet was authentic. */
  accept(high: number, low: number): void {
    if (this.#size === 0) return;
    const ahead = (high - this.#high) * 0x100000000 + low - this.#low;
    if (ahead > this.#mask) this.#seen.fill(0);
    else for (let i = 1; i <= ahead; i++) this.#clear((this.#low + i) & this.#mask);
    if (ahead > 0) {
      this.#high = high;
      this.#low = low;
    }
    const bit = low & this.#mask;
    this.#seen[bit >>> 5] = (this.#seen[bit >>> 5] as number) | (1 << (bit & 31));
  }

  #clear(bit: number): void {
    this.#seen[bit >>> 5] = (this.#seen[bit >>> 5] as number) & ~(1 << (bit & 31));
  }
}
