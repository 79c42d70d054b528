/** Makes packets, by arithmetic that is as plain as can be and shares nothing with what is tested. */

export type Check = 'full' | 'partial' | 'zero' | 'wrong';

export interface Fields {
  readonly version?: 4 | 6;
  readonly source?: readonly number[];
  readonly destination?: readonly number[];
  readonly protocol?: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly payload?: Uint8Array;
  readonly check?: Check;
  /** IPv4 options, or whole IPv6 extension headers of which the first is of the type `extension`. */
  readonly options?: readonly number[];
  readonly extension?: number;
  readonly vlans?: readonly number[];
  /** Default: Ethernet. */
  readonly raw?: boolean;
  /** Zero bytes behind the packet, as Ethernet pads. */
  readonly padding?: number;
  readonly id?: number;
}

const word = (value: number): number[] => [(value >> 8) & 255, value & 255];

/** The one's complement sum, folded: a remainder, with 0 only for all zero. */
export function naiveSum(bytes: readonly number[] | Uint8Array): number {
  let sum = 0n;
  for (let i = 0; i < bytes.length; i += 2) sum += BigInt(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  return sum === 0n ? 0 : Number(((sum - 1n) % 0xffffn) + 1n);
}

/** A checksum as it is sent: never 0. */
export function naiveCheck(bytes: readonly number[] | Uint8Array): number {
  const check = 0xffff - naiveSum(bytes);
  return check === 0 ? 0xffff : check;
}

export function naivePseudo(
  source: readonly number[],
  destination: readonly number[],
  protocol: number,
  length: number,
): number[] {
  const size = source.length === 4 ? word(length) : [...word(length >>> 16), ...word(length)];
  return source.length === 4
    ? [...source, ...destination, 0, protocol, ...size]
    : [...source, ...destination, ...size, 0, 0, 0, protocol];
}

export const A4 = [10, 0, 1, 2] as const;
export const B4 = [192, 0, 2, 9] as const;
export const A6 = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2] as const;
export const B6 = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9] as const;

/** TCP, UDP or ICMP with its checksum; for other protocols the payload alone. */
export function transport(fields: Fields): number[] {
  const version = fields.version ?? 4;
  const { protocol = 6, sourcePort = 40000, destinationPort = 443, check = 'full' } = fields;
  const payload = [...(fields.payload ?? [1, 2, 3])];
  const source = [...(fields.source ?? (version === 4 ? A4 : A6))];
  const destination = [...(fields.destination ?? (version === 4 ? B4 : B6))];
  const ports = [...word(sourcePort), ...word(destinationPort)];
  let bytes: number[];
  let at: number;
  if (protocol === 6) {
    bytes = [...ports, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 0xfa, 0xf0, 0, 0, 0, 0, ...payload];
    at = 16;
  } else if (protocol === 17) {
    bytes = [...ports, ...word(8 + payload.length), 0, 0, ...payload];
    at = 6;
  } else if (protocol === 1 || protocol === 58) {
    bytes = payload;
    at = 2;
  } else {
    return payload;
  }
  const pseudo = naivePseudo(source, destination, protocol, bytes.length);
  const covered = protocol === 1 ? bytes : [...pseudo, ...bytes];
  const full = naiveCheck(covered);
  const field = { full, partial: naiveSum(pseudo), zero: 0, wrong: (full + 1) % 0x10000 }[check];
  bytes.splice(at, 2, ...word(field));
  return bytes;
}

/** An IP packet, in an Ethernet frame unless it is raw. */
export function packet(fields: Fields = {}): Uint8Array {
  const { version = 4, protocol = 6, options = [], vlans = [], raw = false, padding = 0, id = 7 } = fields;
  const l4 = transport(fields);
  const source = fields.source ?? (version === 4 ? A4 : A6);
  const destination = fields.destination ?? (version === 4 ? B4 : B6);
  let ip: number[];
  if (version === 4) {
    const header = [
      0x45 + options.length / 4,
      0,
      ...word(20 + options.length + l4.length),
      ...word(id),
      0,
      0,
      64,
      protocol,
      0,
      0,
      ...source,
      ...destination,
      ...options,
    ];
    header.splice(10, 2, ...word(0xffff - naiveSum(header)));
    ip = [...header, ...l4];
  } else {
    const next = fields.extension ?? protocol;
    ip = [0x60, 0, 0, 0, ...word(options.length + l4.length), next, 64, ...source, ...destination, ...options, ...l4];
  }
  if (raw) return Uint8Array.from(ip);
  const tags = vlans.flatMap((type, i) => [...word(type), 0, i + 1]);
  const ends = [0, 0x16, 0x3e, 0, 0, 1, 0, 0x16, 0x3e, 0, 0, 2];
  return Uint8Array.from([
    ...ends,
    ...tags,
    ...word(version === 4 ? 0x0800 : 0x86dd),
    ...ip,
    ...new Array(padding).fill(0),
  ]);
}

/** Turns a packet into a fragment; its IPv4 header gets its checksum again. */
export function asFragment(bytes: Uint8Array, offset: number, more: boolean, ip = 14): Uint8Array {
  const out = bytes.slice();
  out.set(word((offset / 8) | (more ? 0x2000 : 0)), ip + 6);
  out.set([0, 0], ip + 10);
  out.set(word(0xffff - naiveSum(out.subarray(ip, ip + ((out[ip] ?? 0) & 15) * 4))), ip + 10);
  return out;
}

/** An ICMP error (IPv4: port unreachable; IPv6: the same) about a packet given as raw IP. */
export function icmpError(about: Uint8Array, fields: Fields = {}): Uint8Array {
  const version = fields.version ?? 4;
  const head = version === 4 ? [3, 3, 0, 0, 0, 0, 0, 0] : [1, 4, 0, 0, 0, 0, 0, 0];
  return packet({ ...fields, protocol: version === 4 ? 1 : 58, payload: Uint8Array.from([...head, ...about]) });
}
