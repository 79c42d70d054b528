import { deepEqual, equal, notDeepEqual, ok, throws } from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import {
  classifyChecksum,
  type EspCrypto,
  type EspError,
  EspTunnel,
  LINKTYPE,
  type NetProtocolError,
  PacketView,
} from '#dist/net/index.js';
import { CBC, count, ends, GCM, HERE, hex, ipPacket, THERE } from './packets.js';

const BOTH: readonly EspCrypto[] = ['native', 'node'];

/** Two packets that node:crypto made and tshark has read: GCM and CBC. */
function recorded(): Uint8Array[] {
  const file = readFileSync('test/net/esp/vectors.pcap');
  const packets: Uint8Array[] = [];
  for (let at = 24; at < file.length; ) {
    const length = file.readUInt32LE(at + 8);
    packets.push(Uint8Array.from(file.subarray(at + 16, at + 16 + length)));
    at += 16 + length;
  }
  return packets;
}
const INNER = hex('4500002b000140004011af65c0a80102c0a80909138800350017f94468656c6c6f2065737020776f726c64');

function state(packet: Uint8Array): string {
  const view = new PacketView();
  view.parse(packet, 0, packet.length, LINKTYPE.RAW);
  return classifyChecksum(view);
}

for (const crypto of BOTH) {
  describe(`EspTunnel: ${crypto}`, () => {
    test('makes and takes the recorded packets', () => {
      const [gcm, cbc] = recorded() as [Uint8Array, Uint8Array];
      const addresses = { local: '10.0.0.1', remote: '10.0.0.2', crypto };
      const gcmKeys = { spi: 0x11223344, keys: GCM };
      using sender = new EspTunnel({ ...addresses, outbound: { ...gcmKeys, ivMask: new Uint8Array(8) } });
      deepEqual(sender.encapsulate(INNER), gcm);
      const back = { ...addresses, local: '10.0.0.2', remote: '10.0.0.1' };
      using receiver = new EspTunnel({ ...back, inbound: gcmKeys });
      deepEqual(receiver.decapsulate(gcm), INNER);
      using cbcReceiver = new EspTunnel({ ...back, inbound: { spi: 0x55667788, keys: CBC } });
      deepEqual(cbcReceiver.decapsulate(cbc), INNER);
    });

    for (const keys of [GCM, { ...GCM, icvLength: 8 }, { ...GCM, icvLength: 12 }, CBC] as const) {
      const label = `${keys.algorithm}, ICV of ${'icvLength' in keys ? keys.icvLength : 16}`;
      for (const outer of [4, 6] as const) {
        test(`${label}: IPv4 and IPv6 packets of any length go through IPv${outer}`, () => {
          const at = outer === 4 ? {} : { local: '2001:db8::1', remote: '2001:db8::2' };
          const [here, there] = ends({ ...at, crypto, mtu: 2000, keys: { spi: 0x1000, keys, esn: true } });
          for (let length = 0; length < 70; length++) {
            for (const version of [4, 6] as const) {
              const packet = ipPacket({ version, data: count(length) });
              const sealed = here.encapsulate(packet);
              equal(sealed.length, here.outerLength(packet.length));
              deepEqual(there.decapsulate(sealed), packet);
              equal(there.verdict, 'ok');
            }
          }
          equal(there.counters.decapsulated, 140);
          equal(here.sequence, 140n);
          equal(there.highest, 140n);
        });
      }
    }

    test('a batch gives what one by one would, and leaves out what is refused', () => {
      for (const at of [{}, { local: '::1', remote: '::2', natT: {} }]) {
        const keys = { spi: 0x1000, keys: GCM, ivMask: new Uint8Array(8) };
        const [one] = ends({ ...at, crypto, keys });
        const [many, there] = ends({ ...at, crypto, keys });
        const packets = Array.from({ length: 75 }, (_, i) =>
          ipPacket({ version: i % 3 ? 4 : 6, partial: i % 2 === 1, data: count(i), protocol: i % 25 === 9 ? 132 : 17 }),
        );
        packets[40] = new Uint8Array(30);
        const bytes = new Uint8Array(75 * 200);
        const places = new Uint32Array(150);
        packets.forEach((packet, i) => {
          bytes.set(packet, i * 200);
          places.set([i * 200, packet.length], 2 * i);
        });
        const before = bytes.slice();
        const out = new Uint8Array(75 * 300);
        const lengths = new Uint32Array(75);
        many.encapsulateBatch(bytes, places, out, 300, lengths, (i) => i % 2 === 1);
        for (const [i, packet] of packets.entries()) {
          let alone: Uint8Array = new Uint8Array(0);
          try {
            alone = one.encapsulate(packet, i % 2 === 1);
          } catch {}
          const together = out.slice(i * 300, i * 300 + (lengths[i] as number));
          deepEqual(together, alone, `packet ${i}`);
          if (together.length > 0) ok(there.decapsulate(together));
        }
        deepEqual(many.counters, one.counters);
        deepEqual([many.counters.refused.EPROTO, many.counters.refused.EINVAL], [2, 1]);
        deepEqual(bytes, before);
        throws(() => many.encapsulateBatch(bytes, places, out, 400, lengths), RangeError);
        throws(() => many.encapsulateBatch(bytes.subarray(0, 14_900), places, out, 300, lengths), RangeError);
      }
    });

    test("a partial checksum is completed before it is encrypted; the guest's packet is left alone", () => {
      const [here, there] = ends({ crypto });
      for (const version of [4, 6] as const) {
        for (const [protocol, offset] of [
          [6, 16],
          [17, 6],
        ] as const) {
          const packet = ipPacket({ version, protocol, partial: true, data: count(33) });
          const copy = packet.slice();
          for (const how of [true, 'detect', { start: version === 4 ? 20 : 40, offset }] as const) {
            const inner = there.decapsulate(here.encapsulate(packet, how)) as Uint8Array;
            deepEqual(inner, ipPacket({ version, protocol, data: count(33) }));
            equal(state(inner), 'good');
          }
          deepEqual(packet, copy);
        }
      }
      equal(here.counters.finished, 12);
      const complete = ipPacket();
      deepEqual(there.decapsulate(here.encapsulate(complete, 'detect')), complete);
      equal(here.counters.finished, 12);
    });
  });
}

describe('EspTunnel: into the tunnel', () => {
  test('a partial checksum that cannot be completed gives EPROTO, which says what and where', () => {
    const [here] = ends({ device: 'vif1.0' });
    const refused = (packet: Uint8Array, ipProto: number) =>
      throws(
        () => here.encapsulate(packet, true),
        (error: NetProtocolError) => {
          deepEqual(
            { ...error, message: '' },
            {
              name: 'NetProtocolError',
              code: 'EPROTO',
              errno: -71,
              stage: 'esp-encap',
              ipProto,
              device: 'vif1.0',
              message: '',
            },
          );
          return true;
        },
      );
    refused(ipPacket({ protocol: 132 }), 132);
    refused(ipPacket({ version: 6, protocol: 132 }), 132);
    refused(ipPacket({ fragment: 0x2000 }), 17);
    refused(
      ipPacket({ protocol: 6 })
        .subarray(0, 30)
        .map((byte, i) => (i === 3 ? 30 : byte)),
      6,
    );
    equal(here.counters.refused.EPROTO, 4);
    equal(here.sequence, 0n, 'no number is used up');
  });

  test('an offset outside of the packet gives EINVAL', () => {
    const [here] = ends();
    const packet = ipPacket({ partial: true });
    for (const how of [
      { start: 20, offset: packet.length - 21 },
      { start: -1, offset: 6 },
      { start: 20, offset: -21 },
      { start: Number.NaN, offset: 0 },
    ]) {
      throws(() => here.encapsulate(packet, how), { code: 'EINVAL', errno: -22 });
    }
    equal(here.counters.refused.EINVAL, 4);
  });

  test('what is no whole IP packet gives EINVAL', () => {
    const [here] = ends();
    const short = ipPacket();
    short[3] = 255;
    const wrong = [new Uint8Array(0), new Uint8Array(19), new Uint8Array(60), short, ipPacket().subarray(0, 30)];
    for (const packet of [...wrong, ipPacket({ version: 6 }).subarray(0, 39)]) {
      throws(() => here.encapsulate(packet), { name: 'EspError', code: 'EINVAL' });
    }
    equal(here.counters.refused.EINVAL, 6);
  });

  test('what does not fit gives EMSGSIZE and the length that would; without DF it is left to be fragmented', () => {
    for (const keys of [GCM, CBC]) {
      const [here] = ends({ keys: { spi: 0x1000, keys } });
      const fits = ipPacket({ data: count(here.maxInner - 28) });
      ok(here.encapsulate(fits).length <= 1500);
      const tooLong = ipPacket({ data: count(here.maxInner - 27) });
      throws(
        () => here.encapsulate(tooLong),
        (error: EspError) => error.code === 'EMSGSIZE' && error.mtu === here.maxInner,
      );
      throws(() => here.encapsulate(ipPacket({ version: 6, data: count(1450) })), { code: 'EMSGSIZE' });
      const large = here.encapsulate(ipPacket({ df: false, data: count(2000) }));
      equal((large[6] as number) & 0x40, 0);
      deepEqual([here.counters.oversize, here.counters.refused.EMSGSIZE], [1, 2]);
      throws(() => here.encapsulate(ipPacket({ df: false, data: count(65480) })), { code: 'EMSGSIZE' });
    }
    const [six] = ends({ local: '::1', remote: '::2' });
    throws(() => six.encapsulate(ipPacket({ df: false, data: count(2000) })), { code: 'EMSGSIZE' });
  });

  test('the outer DF, TTL, DSCP and ECN are what the options say', () => {
    const outer = (options: Parameters<typeof ends>[0], packet: Parameters<typeof ipPacket>[0]) => {
      const bytes = (ends(options)[0] as EspTunnel).encapsulate(ipPacket(packet));
      return { df: ((bytes[6] as number) & 0x40) !== 0, ttl: bytes[8], tos: bytes[1] };
    };
    const tos = 0xb9; // EF, ECT(1)
    deepEqual(outer({}, { tos }), { df: true, ttl: 64, tos });
    deepEqual(outer({}, { tos, df: false }), { df: false, ttl: 64, tos });
    deepEqual(outer({}, { version: 6, tos }), { df: true, ttl: 64, tos });
    deepEqual(outer({ df: 'clear', ttl: 9, dscp: 8, ecn: 'compatible' }, { tos }), { df: false, ttl: 9, tos: 0x20 });
    deepEqual(outer({ df: 'set', dscp: 0 }, { tos, df: false }), { df: true, ttl: 64, tos: 1 });
    const six = (ends({ local: '::1', remote: '::2' })[0] as EspTunnel).encapsulate(ipPacket({ tos }));
    deepEqual([six[0], (six[1] as number) & 0xf0, six[6], six[7]], [0x6b, 0x90, 50, 64]);
  });

  test('the sequence numbers end before one is used twice', () => {
    for (const [esn, last] of [
      [false, 0xffffffffn],
      [true, 0xffffffffffffffffn],
    ] as const) {
      const keys = { spi: 0x1000, keys: GCM, esn, sequence: last - 2n };
      const [here, there] = ends({ keys });
      for (let i = 0; i < 2; i++) ok(there.decapsulate(here.encapsulate(ipPacket())), there.verdict);
      equal(here.sequence, last);
      for (let i = 0; i < 3; i++) {
        throws(() => here.encapsulate(ipPacket()), { code: 'EOVERFLOW', message: /used up: new keys are needed/ });
      }
      equal(here.counters.refused.EOVERFLOW, 3);
    }
    throws(
      () => ends({ keys: { spi: 0x1000, keys: GCM, sequence: 1n << 32n } }),
      /sequence must be a number of 32 bits/,
    );
  });

  test('no nonce is used twice, also not by a tunnel that is made again with the same keys', () => {
    const seen = new Set<string>();
    for (let turn = 0; turn < 20; turn++) {
      const [here] = ends({ keys: { spi: 0x1000, keys: GCM, esn: true, sequence: 0xfffffff0n } });
      for (let i = 0; i < 100; i++)
        seen.add(Buffer.from(here.encapsulate(ipPacket()).subarray(28, 36)).toString('hex'));
    }
    equal(seen.size, 2000);
    const [cbc] = ends({ keys: { spi: 0x1000, keys: CBC } });
    const ivs = Array.from({ length: 600 }, () =>
      Buffer.from(cbc.encapsulate(ipPacket()).subarray(28, 44)).toString('hex'),
    );
    equal(new Set(ivs).size, 600);
  });

  test('what the selectors do not name gives EPERM, and is refused at the other end', () => {
    const selectors = { local: ['10.0.1.0/24', '2001:db8:1::/48'], remote: ['192.168.0.0/16', '2001:db8:9::9'] };
    const [here] = ends({ selectors });
    ok(here.encapsulate(ipPacket()));
    ok(here.encapsulate(ipPacket({ version: 6 })));
    throws(() => here.encapsulate(ipPacket({ source: '10.0.2.2' })), { code: 'EPERM' });
    const [open] = ends();
    const strict = new EspTunnel({
      local: THERE,
      remote: HERE,
      inbound: { spi: 0x1000, keys: GCM },
      selectors: { local: selectors.remote, remote: selectors.local },
    });
    ok(strict.decapsulate(open.encapsulate(ipPacket())));
    equal(strict.decapsulate(open.encapsulate(ipPacket({ source: '10.0.2.2' }))), null);
    equal(strict.verdict, 'selector');
  });

  test('encapsulateInto takes a packet that is in the same memory', () => {
    const packet = ipPacket({ data: count(200) });
    for (const at of [0, 20, 36, 60]) {
      const [here, there] = ends();
      const memory = new Uint8Array(600);
      memory.set(packet, at);
      const length = here.encapsulateInto(memory.subarray(at, at + packet.length), memory);
      deepEqual(there.decapsulate(memory.subarray(0, length)), packet);
    }
    const [here] = ends();
    throws(() => here.encapsulateInto(packet, new Uint8Array(100)), RangeError);
    equal(here.sequence, 0n);
  });
});

describe('EspTunnel: what ESP did on Xen in July 2005', () => {
  for (const partial of [true, 'detect'] as const) {
    test(`dom0 drops the ESP packet with ENOMEM (partial: ${partial})`, () => {
      const [here] = ends({ historic: '2005-07' });
      const blank = ipPacket({ partial: true });
      throws(() => here.encapsulate(blank, partial), { code: 'ENOMEM', errno: -12 });
      equal(here.counters.refused.ENOMEM, 1);
      ok(here.encapsulate(ipPacket()), 'a packet that came with its checksum was sent');
    });

    test(`let through, the other end finds the checksum wrong (partial: ${partial})`, () => {
      const [here, there] = ends({ historic: '2005-07-let-through' });
      const inner = there.decapsulate(here.encapsulate(ipPacket({ partial: true }), partial)) as Uint8Array;
      equal(state(inner), 'partial');
    });
  }
});

describe('EspTunnel: out of the tunnel', () => {
  /** A receiver, and what it says of packets. */
  function receiver(options: Parameters<typeof ends>[0] = {}) {
    const [here, there] = ends(options);
    return {
      here,
      there,
      take: (packet: Uint8Array) => {
        const out = new Uint8Array(packet.length).fill(0xee);
        const length = there.decapsulateInto(packet, out);
        if (length === 0)
          ok(
            !Buffer.from(out).includes(Buffer.from('0a000102c0a80909', 'hex')) &&
              !out.some((b) => b !== 0xee && b !== 0),
          );
        return there.verdict;
      },
    };
  }

  test('replayed and late packets are refused, those that overtook each other are not', () => {
    for (const [replayWindow, esn] of [
      [32, false],
      [64, true],
      [100, false],
      [4096, true],
    ] as const) {
      const keys = { spi: 0x1000, keys: GCM, esn };
      const [here] = ends({ keys });
      const there = new EspTunnel({ local: THERE, remote: HERE, inbound: { ...keys, replayWindow } });
      const packets = Array.from({ length: replayWindow + 2 }, () => here.encapsulate(ipPacket()));
      const take = (i: number) => {
        there.decapsulate(packets[i - 1] as Uint8Array);
        return there.verdict;
      };
      equal(take(2), 'ok');
      equal(take(2), 'replayed');
      equal(take(1), 'ok');
      equal(take(replayWindow + 2), 'ok');
      // with ESN it would be the number that comes 2^32 later
      equal(take(2), esn ? 'bad-icv' : 'too-old');
      equal(take(3), 'ok', 'the last that is remembered');
      equal(take(3), 'replayed');
      for (let i = replayWindow + 1; i > 3; i--) equal(take(i), 'ok');
      for (let i = replayWindow + 2; i > 2; i--) equal(take(i), 'replayed');
      equal(there.counters.dropped.replayed, replayWindow + 2);
    }
  });

  test('without a window replayed packets are taken', () => {
    const [here] = ends();
    const inbound = { spi: 0x1000, keys: GCM, replayWindow: 0 };
    const there = new EspTunnel({ local: THERE, remote: HERE, inbound });
    const packet = here.encapsulate(ipPacket());
    ok(there.decapsulate(packet));
    ok(there.decapsulate(packet));
  });

  test('with ESN packets are told apart across 2^32, late ones too', () => {
    const sequence = 0xffffffffn - 20n;
    const keys = { spi: 0x1000, keys: GCM, esn: true, sequence };
    const { here, take, there } = receiver({ keys });
    const packets = Array.from({ length: 40 }, () => here.encapsulate(ipPacket()));
    equal(take(packets[30] as Uint8Array), 'ok');
    for (const [i, packet] of packets.entries()) equal(take(packet), i === 30 ? 'replayed' : 'ok');
    for (const packet of packets) equal(take(packet), 'replayed');
    equal(there.highest, sequence + 40n);
  });

  test('a forged packet moves no window', () => {
    const { here, take } = receiver();
    const good = here.encapsulate(ipPacket());
    const forged = here.encapsulate(ipPacket());
    new DataView(forged.buffer, forged.byteOffset).setUint32(24, 0xfffffff0);
    equal(take(forged), 'bad-icv');
    equal(take(good), 'ok');
    equal(take(good), 'replayed');
  });

  test('fragments, other protocols, other addresses, other SPIs and short packets are told apart', () => {
    const { here, take, there } = receiver();
    const change = (edit: (packet: Uint8Array) => void) => {
      const packet = here.encapsulate(ipPacket()).slice();
      edit(packet);
      packet.set([0, 0], 10); // the header's checksum is left to a device
      return packet;
    };
    equal(take(change(() => {})), 'ok');
    equal(take(change((packet) => packet.set([0x20], 6))), 'fragment');
    equal(take(change((packet) => packet.set([0, 1], 6))), 'fragment');
    equal(take(change((packet) => packet.set([51], 9))), 'not-esp');
    equal(take(change((packet) => packet.set([17], 9))), 'malformed', 'ESP is no UDP');
    equal(take(change((packet) => packet.set([9], 15))), 'address');
    equal(take(change((packet) => packet.set([9], 19))), 'address');
    equal(take(change((packet) => packet.set([9], 20))), 'unknown-spi');
    equal(take(change((packet) => packet.set([0, 52], 2))), 'truncated');
    equal(take(change((packet) => packet.set([0, 20], 2))), 'truncated');
    equal(take(change((packet) => packet.set([9], 2))), 'malformed');
    equal(take(new Uint8Array(0)), 'malformed');
    equal(take(ipPacket({ version: 6 })), 'address');
    const badHeader = here.encapsulate(ipPacket()).slice();
    badHeader.set([63], 8);
    equal(take(badHeader), 'malformed');
    equal(there.counters.dropped.malformed, 4);
  });

  test('what is authentic but wrong inside is dropped by reason', () => {
    let sequence = 0;
    /** An outer packet around any plaintext. */
    const around = (plaintext: Uint8Array) => {
      const total = 20 + 16 + plaintext.length + 16;
      const packet = new Uint8Array(total);
      const view = new DataView(packet.buffer);
      packet.set([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 50, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
      view.setUint16(2, total);
      view.setUint32(20, 0x1000);
      view.setUint32(24, ++sequence);
      const nonce = Buffer.concat([GCM.salt, packet.subarray(28, 36)]);
      const cipher = createCipheriv('aes-128-gcm', GCM.key, nonce).setAAD(packet.subarray(20, 28));
      packet.set(cipher.update(plaintext), 36);
      cipher.final();
      packet.set(cipher.getAuthTag(), total - 16);
      return packet;
    };
    const { take } = receiver();
    const inner = ipPacket({ data: count(10) }); // 38 bytes: no padding is needed
    const join = (...parts: readonly (Uint8Array | number[])[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
    equal(take(around(join(inner, [0, 4]))), 'ok');
    equal(take(around(join(inner, [1, 2, 3, 4, 4, 4]))), 'ok', 'more padding than is needed');
    equal(take(around(join(inner, new Uint8Array(100), [0, 4]))), 'ok', 'traffic flow padding');
    equal(take(around(join(inner, [1, 3, 3, 4, 4, 4]))), 'padding');
    equal(take(around(join(inner, [255, 4]))), 'padding');
    equal(take(around(join(inner, [0, 59]))), 'dummy');
    equal(take(around(hex('0000003b'))), 'dummy');
    equal(take(around(join(inner, [0, 6]))), 'next-header');
    equal(take(around(join(inner, [0, 41]))), 'inner');
    equal(
      take(
        around(
          join(
            inner.map((b, i) => (i === 3 ? 39 : b)),
            [0, 4],
          ),
        ),
      ),
      'inner',
    );
    equal(take(around(hex('00000004'))), 'inner');
  });

  test('ECN leaves the tunnel as RFC 6040 has it', () => {
    const NOT_ECT = 0;
    const [ECT_1, ECT_0, CE, DROP] = [1, 2, 3, -1];
    const figure4 = [
      [NOT_ECT, [NOT_ECT, NOT_ECT, NOT_ECT, DROP]],
      [ECT_0, [ECT_0, ECT_0, ECT_1, CE]],
      [ECT_1, [ECT_1, ECT_1, ECT_1, CE]],
      [CE, [CE, CE, CE, CE]],
    ] as const;
    for (const version of [4, 6] as const) {
      const [here, there] = ends();
      for (const [inner, row] of figure4) {
        for (const [column, outer] of [NOT_ECT, ECT_0, ECT_1, CE].entries()) {
          const packet = here.encapsulate(ipPacket({ version, tos: 0x48 | inner }));
          packet.set([0x48 | outer], 1);
          packet.set([0, 0], 10);
          const got = there.decapsulate(packet);
          const want = row[column] as number;
          deepEqual(got, want === DROP ? null : ipPacket({ version, tos: 0x48 | want }));
          equal(there.verdict, want === DROP ? 'ecn' : 'ok');
        }
      }
    }
  });

  test('NAT traversal: UDP from any address and port, IKE and keepalives handed on', () => {
    for (const version of [4, 6] as const) {
      const at = version === 4 ? {} : { local: '2001:db8::1', remote: '2001:db8::2' };
      const { here, take } = receiver({ ...at, natT: {} });
      const header = version === 4 ? 20 : 40;
      const packet = here.encapsulate(ipPacket());
      const view = new DataView(packet.buffer);
      deepEqual(
        [view.getUint16(header), view.getUint16(header + 2), view.getUint16(header + 4)],
        [4500, 4500, packet.length - header],
      );
      equal(version === 4 ? view.getUint16(header + 6) : state(packet), version === 4 ? 0 : 'good');
      packet[header - (version === 4 ? 5 : 17)] = 77; // the NAT's address
      view.setUint16(header, 31234);
      packet.set([0, 0], version === 4 ? 10 : header + 6);
      equal(take(packet), 'ok');
      const ike = packet.slice();
      ike.fill(0, header + 8, header + 12);
      equal(take(ike), 'ike');
      const alive = packet.slice(0, header + 9);
      alive.set([9], header + 5);
      new DataView(alive.buffer).setUint16(version === 4 ? 2 : 4, version === 4 ? 29 : 9);
      new DataView(alive.buffer).setUint16(header + 4, 9);
      alive[header + 8] = 0xff;
      equal(take(alive), 'keepalive');
      new DataView(packet.buffer).setUint16(header + 2, 500);
      equal(take(packet), 'not-esp');
      const [plain] = ends(at);
      equal(take(plain.encapsulate(ipPacket())), 'not-esp');
    }
  });

  test('wrong keys and any changed byte: refused, and nothing of the plaintext is there', () => {
    for (const keys of [GCM, CBC]) {
      const { here, take } = receiver({ keys: { spi: 0x1000, keys } });
      const packet = here.encapsulate(ipPacket());
      for (let i = 0; i < packet.length; i++) {
        const changed = packet.slice();
        changed[i] = (changed[i] as number) ^ 0x10;
        const verdict = take(changed);
        ok(verdict !== 'ok', `byte ${i}`);
        if (i > 24) equal(verdict, 'bad-icv', `byte ${i}`);
      }
      for (let i = 0; i < packet.length; i++) ok(take(packet.subarray(0, i)) !== 'ok');
      equal(take(packet), 'ok');
      const wrongKeys = keys === GCM ? { ...GCM, key: count(16, 1) } : { ...CBC, authKey: count(32) };
      const wrong = new EspTunnel({ local: THERE, remote: HERE, inbound: { spi: 0x1000, keys: wrongKeys } });
      equal(wrong.decapsulate(packet), null);
      equal(wrong.verdict, 'bad-icv');
    }
  });
});

describe('EspTunnel: options', () => {
  test('those that cannot be are refused', () => {
    const outbound = { spi: 0x1000, keys: GCM };
    const at = { local: HERE, remote: THERE };
    const cases: readonly (readonly [object, RegExp])[] = [
      [{ ...at }, /needs outbound or inbound/],
      [{ ...at, remote: '::1', outbound }, /two IPv4 or two IPv6 addresses/],
      [{ ...at, local: 'here', outbound }, /'here'/],
      [{ ...at, outbound: { ...outbound, spi: 255 } }, /outbound.spi must be 256 to 4294967295, not 255/],
      [{ ...at, inbound: { ...outbound, replayWindow: 31 } }, /replayWindow must be 32 to 4096/],
      [{ ...at, inbound: { ...outbound, replayWindow: 0, esn: true } }, /ESN needs a replayWindow/],
      [{ ...at, outbound: { ...outbound, ivMask: new Uint8Array(7) } }, /ivMask must have 8 bytes/],
      [{ ...at, outbound: { spi: 256, keys: CBC, ivMask: new Uint8Array(8) } }, /ivMask .* is for aes-gcm/],
      [{ ...at, outbound, mtu: 67 }, /mtu must be 68 to 65535/],
      [{ ...at, outbound, ttl: 0 }, /ttl must be 1 to 255/],
      [{ ...at, outbound, dscp: 64 }, /dscp must be 0 to 63/],
      [{ ...at, outbound, df: 'no' }, /df must be one of copy, set, clear/],
      [{ ...at, outbound, ecn: 'no' }, /ecn must be one of normal, compatible/],
      [{ ...at, outbound, natT: { localPort: 0 } }, /natT.localPort must be 1 to 65535/],
      [{ ...at, outbound, selectors: { local: ['10.0.0.0/33'] } }, /33 bits are too many/],
    ];
    for (const [options, message] of cases) throws(() => new EspTunnel(options as never), { message });
  });

  test('nothing that is printed of a tunnel or its errors has a key', () => {
    const secret = {
      algorithm: 'aes-gcm',
      key: new Uint8Array(16).fill(0xab),
      salt: new Uint8Array(4).fill(0xab),
    } as const;
    const [here] = ends({ keys: { spi: 0x1000, keys: secret } });
    const printed = inspect(here, { depth: 9, showHidden: true }) + JSON.stringify(here);
    ok(!/171|ab, ab|abab/i.test(printed), printed);
  });

  test('a closed tunnel does nothing more', () => {
    const [here, there] = ends();
    const packet = here.encapsulate(ipPacket());
    here.close();
    here.close();
    there.close();
    throws(() => here.encapsulate(ipPacket()), /closed/);
    throws(() => there.decapsulate(packet), /closed/);
    throws(() => here.decapsulate(packet), /no inbound keys/);
  });
});

test('fuzz: a receiver throws for no packet, takes each authentic one once, and counts them all', () => {
  const edits = fc.array(fc.tuple(fc.nat(255), fc.nat(400)), { maxLength: 4 });
  const step = fc.record({
    at: fc.nat(30),
    edits,
    cut: fc.option(fc.nat(400), { nil: undefined, freq: 4 }),
    noise: fc.option(fc.uint8Array({ maxLength: 120 }), { nil: undefined, freq: 8 }),
  });
  const setup = fc.record({
    keys: fc.constantFrom(GCM, CBC, { ...GCM, icvLength: 8 }),
    esn: fc.boolean(),
    natT: fc.constantFrom(undefined, {}),
    sequence: fc.constantFrom(0n, 0x7fffffffn, 0xffffff00n, 0xffffffe0n),
    crypto: fc.constantFrom(...BOTH),
  });
  fc.assert(
    fc.property(setup, fc.array(step, { maxLength: 60 }), ({ keys, esn, natT, sequence, crypto }, steps) => {
      const [here, there] = ends({ crypto, ...(natT ? { natT } : {}), keys: { spi: 0x1000, keys, esn, sequence } });
      const originals = Array.from({ length: 31 }, (_, i) => ipPacket({ version: i % 2 ? 4 : 6, data: count(i * 5) }));
      const sealed = originals.map((packet) => here.encapsulate(packet));
      const taken = new Set<number>();
      for (const { at, edits, cut, noise } of steps) {
        const packet = noise ?? (sealed[at] as Uint8Array).slice(0, cut);
        for (const [value, place] of edits)
          if (place < packet.length) packet[place] = (packet[place] as number) ^ value;
        const inner = there.decapsulate(packet);
        if (inner === null) continue;
        const which = originals.findIndex((original) => Buffer.compare(original, inner) === 0);
        ok(which >= 0, 'only what was sent comes out');
        ok(!taken.has(which), 'and only once');
        taken.add(which);
      }
      const { decapsulated, dropped } = there.counters;
      equal(decapsulated, taken.size);
      equal(
        Object.values(dropped).reduce((sum, n) => sum + n, decapsulated),
        steps.length,
      );
    }),
    { numRuns: 300 },
  );
});

test('fuzz: a sender throws EspError or NetProtocolError for what it cannot encapsulate, and nothing else', () => {
  const [here, there] = ends({ mtu: 65535 });
  const how = fc.oneof(
    fc.constantFrom(true, false, 'detect' as const),
    fc.record({ start: fc.integer({ min: -50, max: 400 }), offset: fc.integer({ min: -50, max: 400 }) }),
  );
  const packets = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc
      .tuple(fc.constantFrom(4 as const, 6 as const), fc.nat(255), fc.boolean(), fc.nat(99), fc.nat(255))
      .map(([version, protocol, partial, at, value]) => {
        const packet = ipPacket({ version, protocol, partial });
        if (at < packet.length) packet[at] = value;
        return packet;
      }),
  );
  fc.assert(
    fc.property(packets, how, (packet, partial) => {
      const copy = packet.slice();
      try {
        const inner = there.decapsulate(here.encapsulate(packet, partial)) as Uint8Array;
        ok(inner, there.verdict);
        equal(Buffer.compare(inner.subarray(0, 20), packet.subarray(0, 20)), 0);
      } catch (error) {
        ok(['EspError', 'NetProtocolError'].includes((error as Error).name), error as Error);
      }
      deepEqual(packet, copy);
    }),
    { numRuns: 2000 },
  );
  notDeepEqual(here.counters.refused.EINVAL, 0);
});
