/** The router between a model's guest and host: the cases that test/net/peers shows on real kernels. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GATEWAY, GUEST, HOST, ModelStreet } from '#dist/cli/net/demo/street.js';
import { segment } from '#dist/net/forward/gso.js';
import { Router, type RouterOptions } from '#dist/net/forward/router.js';
import type { SidePort } from '#dist/net/forward/side.js';
import { checksumSum, classifyChecksum, EspTunnel, LINKTYPE, PacketView } from '#dist/net/index.js';
import {
  emptyVnetHeader,
  VIRTIO_NET_HDR_GSO_ECN,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VNET_HEADER,
} from '#dist/net/link/index.js';
import { Nat } from '#dist/net/nat/nat.js';

interface Case {
  readonly name: string;
  readonly options?: Pick<RouterOptions, 'checksums' | 'takePartialForComplete'>;
  readonly historic?: '2005-10-14';
  readonly mapped?: boolean;
  readonly tx?: boolean;
  readonly arrives: boolean;
}

const CASES: readonly Case[] = [
  { name: 'partial, ports kept', arrives: true },
  { name: 'partial, ports mapped', mapped: true, arrives: true },
  { name: 'complete, ports mapped', tx: false, mapped: true, arrives: true },
  { name: '2005-10-14, ports kept', historic: '2005-10-14', arrives: true },
  { name: '2005-10-14, ports mapped', historic: '2005-10-14', mapped: true, arrives: false },
  { name: '2.6.12', options: { takePartialForComplete: true }, arrives: false },
  { name: 'left unfinished', options: { checksums: 'leave' }, arrives: false },
];

for (const { name, options = {}, historic, mapped = false, tx = true, arrives } of CASES) {
  test(`${name}: ${arrives ? 'arrives, and so does the answer' : 'is thrown away by the host'}`, () => {
    using nat = new Nat({
      rules: [
        {
          kind: 'snat',
          source: '10.0.1.0/24',
          to: '192.0.2.1',
          ...(mapped ? { ports: { min: 20000, max: 20999 } } : {}),
        },
      ],
      finish: false,
      seed: 7,
      ...(historic ? { historic } : {}),
    });
    const street = new ModelStreet({ nat, ...options, frontend: { tx } });
    const sizes = [0, 1, 2, 3, 17, 64, 255, 512, 1000, 1001, 1399, 1400];
    for (const protocol of ['tcp', 'udp'] as const) {
      for (const size of sizes) street.guest.send(protocol, HOST, 5000, 80, new Uint8Array(size).fill(0xa5));
    }
    const { host, guest, router } = street;
    const { partial } = router.counters;
    assert.equal(partial, tx ? 24 : 0);
    if (!arrives) {
      assert.deepEqual(host.received, []);
      // the first one waited for the host's address, and all but it were too soon
      assert.ok(host.inCsumErrors.tcp > 0 && host.inCsumErrors.udp === sizes.length);
      return;
    }
    assert.deepEqual(host.inCsumErrors, { tcp: 0, udp: 0 });
    const [last] = host.received.slice(-1);
    assert.ok(last && last.source === '192.0.2.1');
    assert.equal(last.sourcePort >= 20000 && last.sourcePort < 21000, mapped);
    host.send(last.protocol, '192.0.2.1', 80, last.sourcePort, Buffer.from('answer'));
    assert.deepEqual(guest.inCsumErrors, { tcp: 0, udp: 0 });
    assert.equal(Buffer.from(guest.received.at(-1)?.payload ?? []).toString(), 'answer');
    assert.equal(guest.received.at(-1)?.destinationPort, 5000);
  });
}

test('a key that forbids partial checksums counts from the next connect on', async () => {
  using nat = new Nat({ rules: [{ kind: 'snat', source: '10.0.1.0/24', to: '192.0.2.1' }], finish: false });
  const street = new ModelStreet({ nat, checksums: 'leave' });
  const { Xenstore } = await import('#dist/xenstore/index.js');
  using store = Xenstore.over(street.store.connect());
  street.guest.send('udp', HOST, 1, 2, Buffer.from('one'));
  await store.write(`${street.vif.backendPath}/feature-no-csum-offload`, '1');
  street.guest.send('udp', HOST, 1, 2, Buffer.from('two'));
  assert.equal(street.host.received.length, 0);
  street.vif.connect();
  street.guest.send('udp', HOST, 1, 2, Buffer.from('three'));
  assert.equal(street.host.received.length, 1);
});

test('what is not for the router, or has nowhere to go, is counted and dropped', () => {
  using nat = new Nat({ rules: [{ kind: 'snat', source: '10.0.1.0/24', to: '192.0.2.1' }], finish: false });
  const street = new ModelStreet({ nat });
  street.guest.send('udp', '198.51.100.1', 1, 2, new Uint8Array(4));
  street.guest.send('udp', '10.0.1.1', 1, 2, new Uint8Array(4));
  street.host.send('udp', '192.0.2.1', 7, 7, new Uint8Array(4));
  street.guest.send('udp', HOST, 1, 2, new Uint8Array(1600));
  street.take('inside', { frame: new Uint8Array(5), csum: 'none' });
  street.take('inside', { frame: new Uint8Array(60), csum: 'none' });
  assert.deepEqual(street.router.counters.dropped, {
    'no-route': 1,
    'to-the-router': 1,
    'not-for-guests': 1,
    'longer-than-mtu': 1,
    short: 1,
    'other-station': 1,
  });
});

test('any frame at all is taken, and never one byte outside of it changed', () => {
  using nat = new Nat({ rules: [{ kind: 'snat', source: '10.0.1.0/24', to: '192.0.2.1' }], finish: false });
  const street = new ModelStreet({ nat });
  const start = Buffer.from('feffffffffff00163e000002080045', 'hex');
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 120 }),
      fc.boolean(),
      fc.record({
        flags: fc.nat({ max: 3 }),
        gsoType: fc.constantFrom(0, 0, 1, 3, 4, 5, 0x81, 99),
        hdrLen: fc.nat({ max: 65535 }),
        gsoSize: fc.nat({ max: 65535 }),
        csumStart: fc.nat({ max: 65535 }),
        csumOffset: fc.nat({ max: 65535 }),
      }),
      (tail, plausible, header) => {
        const frame = plausible ? Buffer.concat([start, tail]) : tail;
        const bytes = new Uint8Array(100 + VNET_HEADER + frame.length + 100).fill(0xee);
        bytes.set(frame, 100 + VNET_HEADER);
        street.router.take('inside', bytes, 100, frame.length, header, 1);
        assert.ok(bytes.subarray(0, 100).every((byte) => byte === 0xee));
        assert.ok(bytes.subarray(100 + VNET_HEADER + Math.max(frame.length, 42)).every((byte) => byte === 0xee));
      },
    ),
    { numRuns: 3000 },
  );
});

test('a large TCP frame is cut into pieces that together are the whole, each with a good checksum', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20000 }), fc.integer({ min: 100, max: 1460 }), (size, gsoSize) => {
      using nat = new Nat({ rules: [{ kind: 'snat', source: '10.0.1.0/24', to: '192.0.2.1' }] });
      const street = new ModelStreet({ nat });
      let whole = new Uint8Array(0);
      street.guest.transmit = ({ frame }) => (whole = frame.slice());
      const payload = Uint8Array.from({ length: size }, (_, i) => i * 7 + (i >> 8));
      street.guest.send('tcp', HOST, 5000, 80, payload);
      whole[47] = 0x80 | 0x18 | 1; // CWR, PSH, ACK, FIN
      const pieces: Uint8Array[] = [];
      const sink = {
        scratch: new Uint8Array(2 << 20),
        used: 0,
        room(length: number) {
          this.used += length;
          return this.used - length;
        },
        add: (bytes: Uint8Array, header: number, length: number) =>
          void pieces.push(bytes.slice(header + VNET_HEADER, header + length)),
      };
      const header = { ...emptyVnetHeader(), gsoType: VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, gsoSize };
      assert.equal(segment(whole, 0, whole.length, header, sink), Math.ceil(size / gsoSize));
      const view = new PacketView();
      const data: Uint8Array[] = [];
      pieces.forEach((piece, i) => {
        view.parse(piece, 0, piece.length, LINKTYPE.ETHERNET);
        assert.equal(classifyChecksum(view), 'good');
        const tcp = new DataView(piece.buffer, view.l4);
        assert.equal(tcp.getUint32(4), i * gsoSize);
        const flags = tcp.getUint8(13);
        assert.equal((flags & 0x80) !== 0, i === 0, 'CWR is on the first');
        assert.equal((flags & 9) === 9, i === pieces.length - 1, 'PSH and FIN are on the last');
        data.push(piece.subarray(view.l4 + 20, view.ipEnd));
      });
      assert.deepEqual(new Uint8Array(Buffer.concat(data)), payload);
    }),
    { numRuns: 60 },
  );
});

test('the vif marks partial checksums by the other bit in the other direction', () => {
  using nat = new Nat({ rules: [{ kind: 'snat', source: '10.0.1.0/24', to: '192.0.2.1' }], finish: false });
  const street = new ModelStreet({ nat, checksums: 'hand-on' });
  street.guest.send('udp', HOST, 1, 2, Buffer.from('x'));
  street.host.send('udp', '192.0.2.1', 2, 1, Buffer.from('y'));
  assert.deepEqual([street.vif.tx.blank, street.vif.rx.blank], [1, 1]);
  assert.equal(street.guest.received.length, 1);
  assert.equal(GUEST, '10.0.1.2');
});

test('through a tunnel: partial checksums and large frames go in complete, and answers come out', () => {
  const keys = { algorithm: 'aes-gcm', key: new Uint8Array(16).fill(7), salt: new Uint8Array(4) } as const;
  const [there, back] = [0x1000, 0x2000].map((spi) => ({ spi, keys }));
  assert.ok(there && back);
  using near = new EspTunnel({ local: '192.0.2.1', remote: GATEWAY, outbound: there, inbound: back });
  using far = new EspTunnel({ local: GATEWAY, remote: '192.0.2.1', outbound: back, inbound: there });
  const street = new ModelStreet({ nat: null, tunnel: { near, far } });
  const { guest, host, router } = street;
  for (const size of [0, 1, 100, 1399]) guest.send('tcp', HOST, 5000, 80, new Uint8Array(size).fill(size));
  assert.deepEqual([host.inCsumErrors, host.received.length], [{ tcp: 0, udp: 0 }, 4]);
  assert.equal(host.received[0]?.source, GUEST);
  host.send('udp', GUEST, 80, 5000, Buffer.from('answer'));
  assert.deepEqual([guest.inCsumErrors, guest.received.length], [{ tcp: 0, udp: 0 }, 1]);

  guest.send('udp', HOST, 1, 2, new Uint8Array(1460)); // fits the wire, and not the tunnel
  assert.deepEqual(router.counters.dropped, { 'longer-than-mtu': 1 });

  const large = {
    ...emptyVnetHeader(),
    flags: 1,
    gsoType: VIRTIO_NET_HDR_GSO_TCPV4,
    gsoSize: 1300,
    csumStart: 34,
    csumOffset: 16,
  };
  street.vif.onBackend = ({ frame }) => {
    const bytes = Buffer.concat([new Uint8Array(VNET_HEADER), frame]);
    router.take('inside', bytes, 0, frame.length, large, street.now++);
  };
  guest.send('tcp', HOST, 5000, 80, new Uint8Array(10_000).fill(9));
  assert.equal(router.counters.segments, 8);
  assert.equal(host.received.length, 12);
  assert.deepEqual(host.inCsumErrors, { tcp: 0, udp: 0 });

  // a tampered one gives nothing
  const outer = far.encapsulate(
    host.received[0]
      ? Buffer.from('4500001c00010000401166ca0a000102c0000202000100020008f1f0', 'hex')
      : new Uint8Array(0),
  );
  outer[30] = (outer[30] as number) ^ 1;
  const ethernet = Buffer.from('00163e00000100163e0000030800', 'hex');
  street.take('outside', { frame: Buffer.concat([ethernet, outer]), csum: 'none' });
  assert.equal(guest.received.length, 1);
  assert.ok(Object.keys(router.counters.dropped).some((reason) => reason.startsWith('esp: ')));
});

/** Has the guest send with other bits of the IPv4 header, and tells what comes back to it. */
function withFlags(street: ModelStreet, flags: number): Buffer[] {
  const came: Buffer[] = [];
  street.vif.onFrontend = ({ frame }) => came.push(Buffer.from(frame));
  street.vif.onBackend = ({ frame, csum }) => {
    const sum = frame.subarray(14, 34);
    frame[20] = flags;
    frame.fill(0, 24, 26);
    new DataView(frame.buffer, frame.byteOffset).setUint16(24, ~checksumSum(sum, 0, 20) & 0xffff);
    street.take('inside', { frame, csum });
  };
  return came;
}
const DONT_FRAGMENT = 0x40;

test('too long for the tunnel and not to be cut up: the guest is told what fits, in the words it sent', () => {
  const keys = { algorithm: 'aes-gcm', key: new Uint8Array(16), salt: new Uint8Array(4) } as const;
  using near = new EspTunnel({ local: '192.0.2.1', remote: GATEWAY, outbound: { spi: 0x1000, keys } });
  using far = new EspTunnel({ local: GATEWAY, remote: '192.0.2.1', inbound: { spi: 0x1000, keys } });
  const street = new ModelStreet({ nat: null, tunnel: { near, far } });
  const came = withFlags(street, DONT_FRAGMENT);
  street.guest.send('udp', HOST, 1000, 2000, new Uint8Array(near.maxInner - 28));
  street.guest.send('udp', HOST, 1000, 2000, new Uint8Array(near.maxInner - 27));
  assert.equal(street.host.received.length, 1);
  assert.equal(came.length, 1);
  const [told = Buffer.alloc(0)] = came;
  const view = new PacketView();
  assert.equal(view.parse(told, 0, told.length, LINKTYPE.ETHERNET), 'ok');
  assert.equal(classifyChecksum(view), 'good');
  assert.deepEqual([told[view.l4], told[view.l4 + 1], told.readUInt16BE(view.l4 + 6)], [3, 4, near.maxInner]);
  assert.deepEqual([...told.subarray(26, 34)], [10, 0, 1, 1, 10, 0, 1, 2], 'from the router to the guest');
  assert.deepEqual([...told.subarray(view.l4 + 8 + 12, view.l4 + 8 + 24)], [10, 0, 1, 2, 192, 0, 2, 2, 3, 232, 7, 208]);
  assert.deepEqual(street.router.counters.dropped, { 'longer-than-mtu': 1 });
});

test('too long for the tunnel and nothing said: it goes in pieces, with its checksum complete', () => {
  const keys = { algorithm: 'aes-gcm', key: new Uint8Array(16), salt: new Uint8Array(4) } as const;
  using near = new EspTunnel({ local: '192.0.2.1', remote: GATEWAY, outbound: { spi: 0x1000, keys } });
  using far = new EspTunnel({ local: GATEWAY, remote: '192.0.2.1', inbound: { spi: 0x1000, keys } });
  const street = new ModelStreet({ nat: null, tunnel: { near, far } });
  const came = withFlags(street, 0);
  street.guest.send('udp', HOST, 1000, 2000, new Uint8Array(1472));
  const { fragments, finished, dropped } = street.router.counters;
  assert.deepEqual({ fragments, finished, dropped }, { fragments: 2, finished: 1, dropped: {} });
  assert.equal(far.counters.decapsulated, 2);
  assert.deepEqual(came, []);
});

test('what comes for a guest behind the NAT and is too long for its link: the sender is told, by the outer address', () => {
  using nat = new Nat({ rules: [{ kind: 'snat', source: '10.0.1.0/24', to: '192.0.2.1' }], finish: false, seed: 7 });
  const sent: Record<'inside' | 'outside', Buffer[]> = { inside: [], outside: [] };
  const port = (name: 'inside' | 'outside', mac: string, mtu: number): SidePort => ({
    mac,
    mtu,
    sink: {
      scratch: Buffer.alloc(4096),
      room: () => 0,
      add: (bytes, at, length) => sent[name].push(Buffer.from(bytes.subarray(at + VNET_HEADER, at + length))),
    },
  });
  const router = new Router(
    { inside: { address: '10.0.1.1/24' }, outside: { address: '192.0.2.1/24' }, nat },
    {
      inside: port('inside', 'fe:ff:ff:ff:ff:ff', 1400),
      outside: port('outside', '00:16:3e:00:00:01', 1500),
    },
  );
  const udp = (to: string, from: string, source: string, destination: string, ports: string, size: number): Buffer => {
    const frame = Buffer.alloc(14 + size);
    frame.write(`${to}${from}0800450000000001400040110000${source}${destination}${ports}`, 'hex');
    frame.writeUInt16BE(size, 16);
    frame.writeUInt16BE(size - 20, 38);
    frame.writeUInt16BE(~checksumSum(frame, 14, 20) & 0xffff, 24);
    return Buffer.concat([Buffer.alloc(VNET_HEADER), frame]);
  };
  const take = (from: 'inside' | 'outside', bytes: Buffer): void =>
    router.take(from, bytes, 0, bytes.length - VNET_HEADER, emptyVnetHeader(), 1);
  const [guest, host] = ['0a000102', 'c0000202'];
  take('outside', udp('00163e000001', '00163e000003', host, 'c0000201', '00010001', 28)); // its station is known now
  take('inside', udp('feffffffffff', '00163e000002', guest, host, '13880050', 100));
  assert.equal(sent.outside.length, 1);
  take('outside', udp('00163e000001', '00163e000003', host, 'c0000201', '00501388', 1500));
  assert.deepEqual(sent.inside, []);
  const told = sent.outside[1] ?? Buffer.alloc(0);
  assert.deepEqual([told[34], told[35], told.readUInt16BE(40)], [3, 4, 1400]);
  assert.equal(told.subarray(26, 34).toString('hex'), 'c0000201c0000202');
  assert.equal(told.subarray(54, 66).toString('hex'), 'c0000202c000020100501388', 'as the sender sent it');
});

test('of errors, of later fragments and of what is for nobody no error is told', () => {
  const street = new ModelStreet({ nat: null });
  const came: Uint8Array[] = [];
  street.vif.onFrontend = ({ frame }) => came.push(frame);
  const frame = Buffer.alloc(1600);
  frame.set([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x16, 0x3e, 0, 0, 2, 8, 0, 0x45, 0]);
  frame.writeUInt16BE(1586, 16);
  for (const [flags, protocol, source, type] of [
    [0x4000, 1, 10, 3],
    [0x4001, 17, 10, 0],
    [0x4000, 17, 224, 0],
    [0x4000, 17, 127, 0],
    [0x4000, 17, 0, 0],
  ] as const) {
    frame.writeUInt16BE(flags, 20);
    frame.set([64, protocol, 0, 0, source, 0, 1, 2, 192, 0, 2, 2, type], 22);
    street.take('inside', { frame, csum: 'none' });
  }
  assert.deepEqual(came, []);
  assert.deepEqual(street.router.counters.dropped, { 'longer-than-mtu': 5 });
});
