/**
 * ESP against a Linux kernel: a guest (a namespace whose veth leaves checksums to the device) behind a dom0 (this
 * process, an EspTunnel on packet sockets), and a host that is a kernel of its own.
 */

import { deepEqual, equal, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ForwarderCounters } from '#dist/net/forward/forwarder.js';
import { type EspHistoric, EspTunnel } from '#dist/net/index.js';
import { setOffload } from '#dist/net/link/index.js';
import { BIN } from '../../cli/run.js';
import { scratchFolder } from '../../scratch.js';
import { CBC, count, GCM } from '../esp/packets.js';
import { noRig, Rig } from '../rig.js';
import { type Damage, Dom0 } from './esp_dom0.js';
import {
  ADDRESSES,
  counters,
  IN_SPI,
  OUT_SPI,
  setTunnel,
  type TunnelCase,
  tunnelFile,
  tunnelOptions,
  wrong,
} from './esp_far_end.js';
import { Capture, decrypt, noTshark } from './tshark.js';
import { noUml, Uml } from './uml.js';

const PEER = resolve('test/net/peers/peer.py');
const reason = noRig() ?? noTshark() ?? noUml();

const GUEST = [0, 0x16, 0x3e, 0, 0, 2];
const FAR = [0, 0x16, 0x3e, 0, 0, 3];
const mac = (bytes: readonly number[]): string => bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');

/** All sizes that the client tries, and those of them that the guest sends in fragments: their sums are complete. */
const ALL = [0, 1, 2, 3, 17, 64, 255, 512, 1000, 1001, 1360, 1361];
const FRAGMENTED = [1360, 1361];
/** So that what leaves dom0 has at most 1500 bytes, whatever is around it. The answers are not cut up, and fit, too. */
const GUEST_MTU = 1380;

describe('ESP towards a Linux kernel', { skip: reason ?? false }, () => {
  let rig: Rig;
  let uml: Uml;
  const folder = scratchFolder();

  before(async () => {
    rig = new Rig();
    for (const name of ['guest', 'dom0', 'host']) rig.netns(name);
    rig.veth('vif1@dom0', 'eth0@guest');
    rig.veth('out@dom0', 'wire@host');
    rig.sh(
      'guest',
      `sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.eth0.disable_ipv6=0
      ip link set eth0 address ${mac(GUEST)}
      ip addr add ${ADDRESSES[4].guest}/24 dev eth0
      ip -6 addr add ${ADDRESSES[6].guest}/64 dev eth0 nodad
      ip neigh add 10.0.1.1 lladdr fe:ff:ff:ff:ff:ff dev eth0
      ip -6 neigh add fd00:1::1 lladdr fe:ff:ff:ff:ff:ff dev eth0
      ip route add default via 10.0.1.1 mtu ${GUEST_MTU}
      ip -6 route add default via fd00:1::1 mtu ${GUEST_MTU}`,
    );
    rig.sh('dom0', 'ip link set vif1 address fe:ff:ff:ff:ff:ff; ip link set out address 00:16:3e:00:00:01');
    // the guest leaves its checksums to the device, as netfront does; segmentation is another matter
    for (const offload of ['tso', 'gso'] as const) setOffload('eth0', offload, false, rig.path('guest'));

    uml = await Uml.start(rig, 'host', 'wire', join(folder, 'uml'));
    const { 4: four, 6: six } = ADDRESSES;
    for (const line of [
      `ip link set vec0 address ${mac(FAR)}`,
      'ip link set vec0 up',
      `ip addr add ${four.far}/24 dev vec0`,
      `ip -6 addr add ${six.far}/64 dev vec0 nodad`,
      `ip neigh add ${four.dom0} lladdr 00:16:3e:00:00:01 dev vec0`,
      `ip -6 neigh add ${six.dom0} lladdr 00:16:3e:00:00:01 dev vec0`,
      `ip route add ${four.guestNet} via ${four.dom0}`,
      `ip -6 route add ${six.guestNet} via ${six.dom0}`,
      `mkfifo /run/up; python3 ${PEER} server >/run/up & read up </run/up`,
    ]) {
      await uml.sh(line);
    }
  });

  after(async () => {
    await uml?.[Symbol.asyncDispose]();
    rig?.[Symbol.dispose]();
  });

  /** Sends TCP and UDP through a tunnel. */
  async function through(
    tunnel: TunnelCase,
    options: { historic?: EspHistoric; damage?: Damage; bytes?: number; seconds?: number; capture?: Capture } = {},
  ) {
    await setTunnel(uml, tunnel);
    const start = await counters(uml);
    using esp = new EspTunnel({
      ...tunnelOptions(tunnel),
      ...(options.historic === undefined ? {} : { historic: options.historic }),
    });
    await using dom0 = new Dom0({
      tunnel: esp,
      vif: { name: 'vif1', netns: rig.path('dom0'), peer: GUEST },
      out: { name: 'out', netns: rig.path('dom0'), peer: FAR },
      ...(options.damage ? { damage: options.damage } : {}),
    });
    const { bytes = 100_000, seconds = 10 } = options;
    const talk = await converse(tunnel, bytes, seconds);
    // while dom0 still counts what comes: the far end may send the end of an earlier connection again
    await options.capture?.stop();
    return { ...talk, wrong: wrong(start, await counters(uml)), esp, dom0 };
  }

  /** The guest sends TCP and UDP to the far end, and tells what came back. */
  async function converse(tunnel: TunnelCase, bytes: number, seconds: number): Promise<{ tcp: string; udp: number[] }> {
    const target = ADDRESSES[tunnel.inner].far;
    const client = rig.spawn('guest', 'python3', [PEER, 'client', target, String(bytes), String(seconds)]);
    let printed = '';
    client.stdout?.on('data', (text: Buffer) => {
      printed += text.toString();
    });
    await once(client, 'close');
    await sleep(100); // what is still on its way
    return JSON.parse(printed);
  }

  /** As {@link through}; and what tshark says of the packets that went over the cable. */
  async function seenByTshark(tunnel: TunnelCase, options: Parameters<typeof through>[1] = {}) {
    const file = join(folder, `${captures++}.pcapng`);
    const capture = await Capture.start(rig, 'dom0', 'out', file);
    const result = await through(tunnel, { ...options, capture });
    const { dom0, far } = ADDRESSES[tunnel.outer];
    const seen = decrypt(file, tunnel.outer, tunnel.keys, [
      { source: dom0, destination: far, spi: OUT_SPI },
      { source: far, destination: dom0, spi: IN_SPI },
    ]);
    return { ...result, seen };
  }
  let captures = 0;

  const sound: readonly (readonly [name: string, tunnel: TunnelCase])[] = [
    ['AES-128-GCM', { keys: GCM, outer: 4, inner: 4 }],
    ['AES-CBC with HMAC-SHA-256', { keys: CBC, outer: 4, inner: 4 }],
    ['AES-256-GCM, ICV of 12 bytes', { keys: { ...GCM, key: count(32), icvLength: 12 }, outer: 4, inner: 4 }],
    ['AES-192-GCM, ICV of 8 bytes', { keys: { ...GCM, key: count(24), icvLength: 8 }, outer: 4, inner: 4 }],
    ['AES-256-CBC', { keys: { ...CBC, key: count(32) }, outer: 4, inner: 4 }],
    ['IPv6 in IPv6, GCM', { keys: GCM, outer: 6, inner: 6 }],
    ['IPv6 in IPv6, CBC', { keys: CBC, outer: 6, inner: 6 }],
    ['IPv4 in IPv6', { keys: GCM, outer: 6, inner: 4 }],
    ['IPv6 in IPv4', { keys: GCM, outer: 4, inner: 6 }],
    ['NAT traversal, GCM', { keys: GCM, outer: 4, inner: 4, natT: true }],
    ['NAT traversal over IPv6, CBC', { keys: CBC, outer: 6, inner: 4, natT: true }],
    ['ESN, GCM', { keys: GCM, outer: 4, inner: 4, esn: true }],
    ['ESN, CBC', { keys: CBC, outer: 4, inner: 4, esn: true }],
    ['ESN across 2^32, GCM', { keys: GCM, outer: 4, inner: 4, esn: true, sequence: 0xffffffffn - 40n }],
    ['ESN across 2^32, CBC', { keys: CBC, outer: 6, inner: 6, esn: true, sequence: 0x5_ffff_ffffn - 40n }],
  ];
  for (const [name, tunnel] of sound) {
    test(`${name}: partial checksums are completed, all arrives both ways, and the kernel finds nothing wrong`, async () => {
      const { tcp, udp, wrong, esp, dom0 } = await through(tunnel);
      deepEqual({ tcp, udp, wrong }, { tcp: 'ok', udp: ALL, wrong: {} });
      ok(dom0.partial > 20, `the guest left ${dom0.partial} of ${dom0.fromGuest} checksums to the device`);
      equal(esp.counters.finished, dom0.partial);
      deepEqual(Object.values(esp.counters.refused).filter(Boolean), []);
      // IPv6's own talk on the cable is none of the tunnel's
      const { address: _, ...dropped } = esp.counters.dropped;
      deepEqual(Object.values(dropped).filter(Boolean), []);
    });
  }

  for (const [name, tunnel] of sound.filter(([, { keys, esn }]) => !esn && (keys === GCM || keys === CBC))) {
    test(`tshark decrypts all that went over the cable, and finds all sums right: ${name}`, async () => {
      const { tcp, esp, seen } = await seenByTshark(tunnel, { bytes: 20_000 });
      equal(tcp, 'ok');
      equal(seen.length, esp.counters.encapsulated + esp.counters.decapsulated);
      for (const packet of seen) {
        equal(packet.icv, '1');
        // 3: there is none, of the UDP around ESP
        const sums = tunnel.natT && packet.udp === '3' ? packet.tcp : packet.tcp + packet.udp;
        ok(/^1*$/.test(sums), JSON.stringify(packet));
      }
      ok(seen.filter((packet) => packet.tcp === '1').length > 20);
      ok(seen.filter((packet) => packet.udp === '1').length > 10);
    });
  }

  /** The command as dom0. It ends by Ctrl-C, and tells what it counted. */
  async function throughCommand(tunnel: TunnelCase) {
    await setTunnel(uml, tunnel);
    const start = await counters(uml);
    const config = join(folder, 'tunnel.json');
    writeFileSync(config, JSON.stringify(tunnelFile(tunnel)), { mode: 0o600 });
    const sides = [`vif1=${ADDRESSES[4].guestRouter}`, `out=${ADDRESSES[4].dom0}/24`];
    const dom0 = rig.spawn('dom0', process.execPath, [BIN, 'net', 'forward', ...sides, '--esp', config, '--json']);
    let counted = '';
    dom0.stdout?.on('data', (text: Buffer) => {
      counted += text.toString();
    });
    if (dom0.stderr) await once(dom0.stderr, 'data'); // it says that it forwards
    const talk = await converse(tunnel, 100_000, 10);
    dom0.kill('SIGINT');
    await once(dom0, 'close');
    return {
      ...talk,
      wrong: wrong(start, await counters(uml)),
      counted: JSON.parse(counted) as ForwarderCounters & { sequence: string },
    };
  }

  const commands: readonly (readonly [name: string, tunnel: TunnelCase, large: boolean, mtu?: number])[] = [
    ['GCM', { keys: GCM, outer: 4, inner: 4 }, false],
    ['CBC, ESN, and large frames of the guest', { keys: CBC, outer: 4, inner: 4, esn: true }, true],
    ['NAT traversal', { keys: GCM, outer: 4, inner: 4, natT: true }, true],
    ['a guest that knows nothing of the tunnel', { keys: GCM, outer: 4, inner: 4 }, false, 1500],
    ['the same with large frames', { keys: CBC, outer: 4, inner: 4 }, true, 1500],
  ];
  for (const [name, tunnel, large, mtu = GUEST_MTU] of commands) {
    test(`xenctrl net forward --esp, ${name}: all arrives both ways, and the kernel finds nothing wrong`, async (t) => {
      rig.sh('guest', `ip route flush cache; ip route change default via 10.0.1.1 mtu ${mtu}`);
      t.after(() => rig.sh('guest', `ip route flush cache; ip route change default via 10.0.1.1 mtu ${GUEST_MTU}`));
      for (const offload of ['tso', 'gso'] as const) setOffload('eth0', offload, large, rig.path('guest'));
      const { tcp, udp, wrong, counted } = await throughCommand(tunnel);
      for (const offload of ['tso', 'gso'] as const) setOffload('eth0', offload, false, rig.path('guest'));
      deepEqual({ tcp, udp, wrong }, { tcp: 'ok', udp: ALL, wrong: {} });
      const { 'longer-than-mtu': told = 0 } = counted.dropped;
      ok(told > 0 === mtu > GUEST_MTU, `${told} were too long, and the guest told so`);
      ok(Number(counted.sequence) >= counted.partial - told, counted.sequence);
      ok(counted.partial > 20 && counted.gso > 0 === large, JSON.stringify(counted));
      deepEqual(
        Object.keys(counted.dropped).filter((reason) => reason.startsWith('esp')),
        [],
      );
    });
  }

  // what goes wrong, and is seen to

  for (const [name, keys] of [
    ['GCM', GCM],
    ['CBC', CBC],
  ] as const) {
    test(`2005, let through, ${name}: the kernel decrypts, and drops what is inside for its checksum`, async () => {
      const tunnel: TunnelCase = { keys, outer: 4, inner: 4 };
      const options = { historic: '2005-07-let-through', seconds: 2 } as const;
      const { tcp, udp, wrong, dom0, esp, seen } = await seenByTshark(tunnel, options);
      deepEqual({ tcp, udp }, { tcp: 'TimeoutError', udp: FRAGMENTED });
      const { 'Tcp.InCsumErrors': segments = 0, 'Udp.InCsumErrors': datagrams = 0, ...xfrm } = wrong;
      equal(datagrams, ALL.length - FRAGMENTED.length);
      equal(segments, dom0.partial - datagrams);
      deepEqual(xfrm, {}, 'nothing is wrong with ESP itself');
      equal(seen.length, esp.counters.encapsulated + esp.counters.decapsulated);
      ok(seen.every(({ icv }) => icv === '1'));
      equal(seen.filter((packet) => packet.tcp === '0' || packet.udp === '0').length, dom0.partial);
    });
  }

  test('2005: dom0 drops what has a partial checksum with ENOMEM, and sends the rest', async () => {
    const tunnel: TunnelCase = { keys: GCM, outer: 4, inner: 4 };
    const { tcp, udp, wrong, dom0, esp } = await through(tunnel, { historic: '2005-07', seconds: 2 });
    deepEqual({ tcp, udp, wrong }, { tcp: 'TimeoutError', udp: FRAGMENTED, wrong: {} });
    deepEqual([...dom0.errors], [['ENOMEM', dom0.partial]]);
    equal(esp.counters.encapsulated, dom0.fromGuest - dom0.partial);
  });

  test('a flipped bit: the kernel counts each packet as not authentic', async () => {
    const flip: Damage = (outer) => {
      outer[outer.length - 20] = (outer[outer.length - 20] as number) ^ 1;
      return 1;
    };
    const { tcp, udp, wrong, esp } = await through({ keys: GCM, outer: 4, inner: 4 }, { damage: flip, seconds: 2 });
    deepEqual({ tcp, udp }, { tcp: 'TimeoutError', udp: [] });
    deepEqual(wrong, { 'Xfrm.InStateProtoError': esp.counters.encapsulated });
  });

  test('another SPI: the kernel counts each packet as of no tunnel', async () => {
    const spi: Damage = (outer) => {
      outer[22] = 0x77;
      return 1;
    };
    const { tcp, wrong, esp } = await through({ keys: CBC, outer: 4, inner: 4 }, { damage: spi, seconds: 2 });
    equal(tcp, 'TimeoutError');
    deepEqual(wrong, { 'Xfrm.InNoStates': esp.counters.encapsulated });
  });

  test('each packet sent twice: all arrives, and the kernel counts every copy as replayed', async () => {
    const { tcp, udp, wrong, esp } = await through({ keys: GCM, outer: 4, inner: 4 }, { damage: () => 2 });
    deepEqual({ tcp, udp }, { tcp: 'ok', udp: ALL });
    deepEqual(wrong, { 'Xfrm.InStateSeqError': esp.counters.encapsulated });
  });
});
