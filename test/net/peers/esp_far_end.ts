/** The tunnels of the tests, as the far end's kernel has them, and what it counts. */

import type { EspInbound, EspKeys, EspOutbound, EspTunnelOptions } from '#dist/net/index.js';
import type { Uml } from './uml.js';

export const ADDRESSES = {
  4: {
    guest: '10.0.1.2',
    guestRouter: '10.0.1.1/24',
    guestNet: '10.0.1.0/24',
    dom0: '192.0.2.1',
    far: '192.0.2.2',
    all: 32,
  },
  6: { guest: 'fd00:1::2', guestNet: 'fd00:1::/64', dom0: '2001:db8::1', far: '2001:db8::2', all: 128 },
} as const;

export interface TunnelCase {
  readonly keys: EspKeys;
  /** IP version outside and inside. */
  readonly outer: 4 | 6;
  readonly inner: 4 | 6;
  readonly esn?: boolean;
  readonly natT?: boolean;
  /** The number that both directions begin after. */
  readonly sequence?: bigint;
}

export const OUT_SPI = 0x1000;
export const IN_SPI = 0x2000;

const hex = (...parts: readonly Uint8Array[]): string =>
  `0x${parts.map((part) => Buffer.from(part).toString('hex')).join('')}`;

/** The ciphers as `ip xfrm` has them. */
function algorithm(keys: EspKeys): string {
  return keys.algorithm === 'aes-gcm'
    ? `aead 'rfc4106(gcm(aes))' ${hex(keys.key, keys.salt)} ${(keys.icvLength ?? 16) * 8}`
    : `enc 'cbc(aes)' ${hex(keys.key)} auth-trunc 'hmac(sha256)' ${hex(keys.authKey)} 128`;
}

/** Gives the far end its side of a tunnel, in the place of the one before. */
export async function setTunnel(uml: Uml, tunnel: TunnelCase): Promise<void> {
  const { keys, outer, inner, esn = false, natT = false, sequence = 0n } = tunnel;
  const { dom0, far } = ADDRESSES[outer];
  const { guestNet, far: target, all } = ADDRESSES[inner];
  const flags = [esn ? 'esn' : '', 'af-unspec'].join(' ').trim();
  const low = sequence & 0xffffffffn;
  const high = sequence >> 32n;
  const numbers = (prefix: string): string =>
    sequence === 0n ? '' : `replay-${prefix}seq ${low}${esn ? ` replay-${prefix}seq-hi ${high}` : ''}`;
  const common = `mode tunnel flag ${flags} ${natT ? 'encap espinudp 4500 4500 0.0.0.0' : ''} ${algorithm(keys)}`;
  const lines = [
    'ip xfrm state flush',
    'ip xfrm policy flush',
    `ip xfrm state add src ${dom0} dst ${far} proto esp spi ${OUT_SPI} replay-window 64 ${numbers('')} ${common}`,
    `ip xfrm state add src ${far} dst ${dom0} proto esp spi ${IN_SPI} ${esn ? 'replay-window 64' : ''} ${numbers('o')} ${common}`,
    ...(
      [
        ['in', guestNet, `${target}/${all}`, dom0, far],
        ['out', `${target}/${all}`, guestNet, far, dom0],
      ] as const
    ).map(
      ([direction, from, to, source, destination]) =>
        `ip xfrm policy add src ${from} dst ${to} dir ${direction} tmpl src ${source} dst ${destination} proto esp mode tunnel`,
    ),
  ];
  for (const line of lines) await uml.sh(line);
}

/** This side of it. */
export function tunnelOptions(tunnel: TunnelCase): EspTunnelOptions {
  const { keys, outer, esn = false, natT = false, sequence = 0n } = tunnel;
  const { dom0, far } = ADDRESSES[outer];
  const { guestNet, far: target } = ADDRESSES[tunnel.inner];
  return {
    local: dom0,
    remote: far,
    outbound: { spi: OUT_SPI, keys, esn, sequence },
    inbound: { spi: IN_SPI, keys, esn, sequence },
    selectors: { local: [guestNet], remote: [target] },
    device: 'vif1.0',
    ...(natT ? { natT: {} } : {}),
  };
}

/** The same as `--esp` and `--config` take it. */
export function tunnelFile(tunnel: TunnelCase): object {
  const { device: _, outbound, inbound, ...others } = tunnelOptions(tunnel);
  const flat = (sa: EspOutbound | EspInbound | undefined): object => {
    const { keys, spi, esn, sequence } = sa as EspOutbound;
    const bytes = Object.entries(keys).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
    ]);
    return { spi, esn, sequence: String(sequence), ...Object.fromEntries(bytes) };
  };
  return { ...others, outbound: flat(outbound), inbound: flat(inbound) };
}

export type Counters = ReadonlyMap<string, number>;

/** What the far end's kernel counts: `Tcp.InCsumErrors`, `Xfrm.InNoStates` ... */
export async function counters(uml: Uml): Promise<Counters> {
  const counts = new Map<string, number>();
  const lines = (await uml.sh('cat /proc/net/snmp')).trim().split('\n');
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const names = (lines[i] as string).trim().split(/\s+/);
    const values = (lines[i + 1] as string).trim().split(/\s+/);
    const table = (names[0] as string).replace(':', '');
    for (let at = 1; at < names.length; at++) counts.set(`${table}.${names[at]}`, Number(values[at]));
  }
  for (const line of (await uml.sh('cat /proc/net/snmp6 /proc/net/xfrm_stat')).split('\n')) {
    const [name, value] = line.trim().split(/\s+/);
    if (name && value) counts.set(name.replace(/^Xfrm/, 'Xfrm.').replace(/^(Udp|Ip)6/, '$16.'), Number(value));
  }
  return counts;
}

/** What was counted meanwhile of what is wrong with packets; nothing that stayed as it was. */
export function wrong(before: Counters, after: Counters): Record<string, number> {
  const changed: Record<string, number> = {};
  for (const [name, value] of after) {
    if (!/^Xfrm|CsumErrors/.test(name)) continue;
    const more = value - (before.get(name) ?? 0);
    if (more !== 0) changed[name] = more;
  }
  return changed;
}
