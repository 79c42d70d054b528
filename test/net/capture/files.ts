/** Makes captures, field by field. */

export interface Order {
  readonly little?: boolean;
}

class Bytes {
  readonly #all: number[] = [];
  readonly #little: boolean;

  constructor(little: boolean) {
    this.#little = little;
  }

  put(size: 2 | 4 | 8, value: number | bigint): this {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    if (size === 2) view.setUint16(0, Number(value), this.#little);
    else if (size === 4) view.setUint32(0, Number(value), this.#little);
    else view.setBigUint64(0, BigInt(value), this.#little);
    this.#all.push(...bytes.subarray(0, size));
    return this;
  }

  raw(bytes: Iterable<number>): this {
    for (const byte of bytes) this.#all.push(byte);
    return this;
  }

  get length(): number {
    return this.#all.length;
  }

  done(): Uint8Array {
    return Uint8Array.from(this.#all);
  }
}

export interface Captured {
  readonly bytes: Uint8Array;
  /** Nanoseconds since 1970. */
  readonly time?: bigint;
}

const TIME = 1_700_000_000_123_456_789n;

export function pcap(
  packets: readonly Captured[],
  { little = true, nanoseconds = false, linkType = 1 }: Order & { nanoseconds?: boolean; linkType?: number } = {},
): Uint8Array {
  const file = new Bytes(little);
  file.put(4, nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4);
  file.put(2, 2).put(2, 4).put(4, 0).put(4, 0).put(4, 65535).put(4, linkType);
  for (const { bytes, time = TIME } of packets) {
    const rest = time % 1_000_000_000n;
    file.put(4, time / 1_000_000_000n).put(4, nanoseconds ? rest : rest / 1000n);
    file.put(4, bytes.length).put(4, bytes.length).raw(bytes);
  }
  return file.done();
}

const padded = (bytes: Uint8Array): number[] => [...bytes, ...new Array(-bytes.length & 3).fill(0)];

/** A block of pcapng. */
export function block(type: number, body: Uint8Array | readonly number[], { little = true }: Order = {}): Uint8Array {
  const all = padded(Uint8Array.from(body));
  const size = all.length + 12;
  return new Bytes(little).put(4, type).put(4, size).raw(all).put(4, size).done();
}

export function section(order: Order = {}): Uint8Array {
  const { little = true } = order;
  const body = new Bytes(little).put(4, 0x1a2b3c4d).put(2, 1).put(2, 0).put(8, 0xffffffffffffffffn);
  return block(0x0a0d0d0a, body.done(), order);
}

export function description(
  linkType: number,
  options: { resolution?: number; offset?: bigint; snapLength?: number } = {},
  order: Order = {},
): Uint8Array {
  const { little = true } = order;
  const body = new Bytes(little)
    .put(2, linkType)
    .put(2, 0)
    .put(4, options.snapLength ?? 0);
  body
    .put(2, 2)
    .put(2, 5)
    .raw([...Buffer.from('vif1'), 0, 0, 0, 0]); // if_name, odd
  if (options.resolution !== undefined) body.put(2, 9).put(2, 1).raw([options.resolution, 0, 0, 0]);
  if (options.offset !== undefined) body.put(2, 14).put(2, 8).put(8, BigInt.asUintN(64, options.offset));
  return block(1, body.put(2, 0).put(2, 0).done(), order);
}

/** An enhanced packet block, or the obsolete one. */
export function packetBlock(
  number: number,
  ticks: bigint,
  bytes: Uint8Array,
  order: Order & { type?: 2 | 6 } = {},
): Uint8Array {
  const { little = true, type = 6 } = order;
  const body = new Bytes(little);
  if (type === 6) body.put(4, number);
  else body.put(2, number).put(2, 0);
  body
    .put(4, ticks >> 32n)
    .put(4, ticks & 0xffffffffn)
    .put(4, bytes.length)
    .put(4, bytes.length);
  return block(type, body.raw(padded(bytes)).put(2, 1).put(2, 3).raw([97, 98, 99, 0]).put(4, 0).done(), order);
}

export function simpleBlock(bytes: Uint8Array, original = bytes.length, order: Order = {}): Uint8Array {
  return block(3, new Bytes(order.little ?? true).put(4, original).raw(bytes).done(), order);
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/** A source that gives no more than so many bytes at once. */
export function sourceOf(bytes: Uint8Array, atOnce = bytes.length) {
  let at = 0;
  return {
    read: async (target: Uint8Array): Promise<number> => {
      const part = bytes.subarray(at, at + Math.min(Math.max(1, atOnce), target.length));
      target.set(part);
      at += part.length;
      return part.length;
    },
  };
}
