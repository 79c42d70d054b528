import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { IPPROTO, LINKTYPE, PacketView, VERDICTS, type Verdict } from '#dist/net/index.js';
import { A4, asFragment, B6, type Fields, icmpError, packet } from './packets.js';

const view = new PacketView();

function parse(bytes: Uint8Array, linkType: number = LINKTYPE.ETHERNET): Verdict {
  return view.parse(bytes, 0, bytes.length, linkType);
}

test('TCP over IPv4 in Ethernet: every field is where it is', () => {
  const bytes = packet({ sourcePort: 1234, destinationPort: 80, padding: 3 });
  assert.equal(parse(bytes), 'ok');
  const { version, ipStart, ipEnd, protocol, l4, l4Length, checkAt, sourcePort, destinationPort, vlans } = view;
  assert.deepEqual(
    { version, ipStart, ipEnd, protocol, l4, l4Length, checkAt, sourcePort, destinationPort, vlans },
    {
      version: 4,
      ipStart: 14,
      ipEnd: 57,
      protocol: 6,
      l4: 34,
      l4Length: 23,
      checkAt: 50,
      sourcePort: 1234,
      destinationPort: 80,
      vlans: 0,
    },
  );
  assert.deepEqual([...bytes.subarray(view.addresses, view.addresses + view.addressLength)], [...A4]);
});

test('a frame in the middle of a buffer is parsed as it is at its beginning', () => {
  const bytes = packet({ protocol: 17 });
  const buffer = new Uint8Array(500).fill(0xee);
  buffer.set(bytes, 101);
  assert.equal(view.parse(buffer, 101, bytes.length, LINKTYPE.ETHERNET), 'ok');
  assert.deepEqual([view.l4, view.checkAt, view.ipEnd], [135, 141, 101 + bytes.length]);
});

test('VLAN tags, one, two and four, are walked over; a fifth is refused', () => {
  for (const vlans of [[0x8100], [0x88a8, 0x8100], [0x9100, 0x8100, 0x8100, 0x8100]]) {
    assert.equal(parse(packet({ vlans })), 'ok');
    assert.deepEqual([view.vlans, view.ipStart, view.sourcePort], [vlans.length, 14 + 4 * vlans.length, 40000]);
  }
  assert.equal(parse(packet({ vlans: new Array(5).fill(0x8100) })), 'vlan-depth');
});

test('IPv4 options and raw IP link types move the headers', () => {
  assert.equal(parse(packet({ options: [1, 1, 1, 0], raw: true }), LINKTYPE.RAW), 'ok');
  assert.deepEqual([view.ipStart, view.l4], [0, 24]);
  assert.equal(parse(packet({ raw: true }), LINKTYPE.IPV4), 'ok');
  assert.equal(parse(packet({ raw: true, version: 6 }), LINKTYPE.IPV6), 'ok');
  assert.equal(parse(packet({ raw: true, version: 6 }), LINKTYPE.IPV4), 'ip-version');
});

test("Linux' cooked captures have the protocol where theirs is", () => {
  const ip = packet({ raw: true });
  const sll = Uint8Array.from([...new Array(14).fill(0), 8, 0, ...ip]);
  const sll2 = Uint8Array.from([8, 0, ...new Array(18).fill(0), ...ip]);
  assert.equal(parse(sll, LINKTYPE.LINUX_SLL), 'ok');
  assert.equal(view.ipStart, 16);
  assert.equal(parse(sll2, LINKTYPE.LINUX_SLL2), 'ok');
  assert.equal(view.ipStart, 20);
});

test('IPv6 extension headers are walked over', () => {
  const hop = [60, 0, 1, 4, 0, 0, 0, 0];
  const destination = [17, 1, 1, 12, ...new Array(12).fill(0)];
  assert.equal(parse(packet({ version: 6, protocol: 17, extension: 0, options: [...hop, ...destination] })), 'ok');
  assert.deepEqual([view.protocol, view.l4, view.sourcePort], [17, 14 + 40 + 24, 40000]);
  const bytes = view.bytes.subarray(view.addresses + 16, view.addresses + 32);
  assert.deepEqual([...bytes], [...B6]);
});

test('IPv6 extension headers that do not end are refused', () => {
  const again = [0, 0, 1, 4, 0, 0, 0, 0];
  const many = (count: number): number[] => [...new Array(count - 1).fill(again).flat(), 6, 0, 1, 4, 0, 0, 0, 0];
  assert.equal(parse(packet({ version: 6, extension: 0, options: many(8) })), 'ok');
  assert.equal(parse(packet({ version: 6, extension: 0, options: many(9) })), 'ipv6-extensions');
  assert.equal(parse(packet({ version: 6, extension: 0, options: [6, 200, 0, 0, 0, 0, 0, 0] })), 'ipv6-extensions');
});

test('a routing header with hops to go is told, one that is used up is not', () => {
  for (const [left, routed] of [
    [1, true],
    [0, false],
  ] as const) {
    assert.equal(parse(packet({ version: 6, extension: 43, options: [6, 0, 2, left, 0, 0, 0, 0] })), 'ok');
    assert.equal(view.routed, routed);
  }
});

test('fragments of IPv4 and IPv6 have ports in the first only', () => {
  assert.equal(parse(asFragment(packet(), 0, true)), 'ok');
  assert.deepEqual([view.fragment, view.fragmentOffset, view.sourcePort], [true, 0, 40000]);
  assert.equal(parse(asFragment(packet(), 1480, false)), 'ok');
  assert.deepEqual([view.fragment, view.fragmentOffset, view.sourcePort, view.checkAt], [true, 1480, -1, -1]);
  assert.equal(parse(packet({ version: 6, extension: 44, options: [6, 0, 5, 0xc8, 1, 2, 3, 4] })), 'ok');
  assert.deepEqual([view.fragment, view.fragmentOffset, view.fragmentId], [true, 1480, 0x01020304]);
  assert.equal(view.sourcePort, -1);
  // one that says that it is whole is whole (RFC 6946)
  assert.equal(parse(packet({ version: 6, extension: 44, options: [6, 0, 0, 0, 1, 2, 3, 4] })), 'ok');
  assert.deepEqual([view.fragment, view.sourcePort], [false, 40000]);
});

test('the packet that an ICMP error quotes is parsed as far as it is there', () => {
  for (const version of [4, 6] as const) {
    const header = version === 4 ? 20 : 40;
    for (const protocol of [6, 17]) {
      const whole = packet({ version, protocol, raw: true, payload: new Uint8Array(40), sourcePort: 555 });
      const quoted = new PacketView();
      assert.equal(parse(icmpError(whole.subarray(0, header + 8), { version })), 'ok');
      assert.equal(view.sourcePort, -1);
      assert.equal(quoted.parseQuoted(view), 'ok');
      assert.deepEqual([quoted.sourcePort, quoted.checkAt >= 0], [555, protocol === 17]);
      assert.equal(parse(icmpError(whole, { version })), 'ok');
      assert.equal(quoted.parseQuoted(view), 'ok');
      assert.ok(quoted.checkAt >= 0);
      assert.equal(parse(icmpError(whole.subarray(0, header + 7), { version })), 'ok');
      assert.equal(quoted.parseQuoted(view), protocol === 6 ? 'tcp-header' : 'udp-header');
      // no error is about an error
      const errorAbout = packet({ version, raw: true, protocol: version === 4 ? 1 : 58, payload: whole });
      assert.equal(parse(icmpError(errorAbout, { version })), 'ok');
      quoted.parseQuoted(view);
      assert.equal(new PacketView().parseQuoted(quoted), 'not-ip');
    }
  }
});

test('ICMP echoes have their identifier', () => {
  const echo = Uint8Array.of(8, 0, 0, 0, 0x12, 0x34, 0, 1);
  assert.equal(parse(packet({ protocol: IPPROTO.ICMP, payload: echo })), 'ok');
  assert.deepEqual([view.icmpType, view.icmpId, view.quoted], [8, 0x1234, -1]);
});

const LIES: readonly [name: string, Verdict, Uint8Array, linkType?: number][] = (() => {
  const change = (fields: Fields, at: number, ...values: number[]): Uint8Array => {
    const bytes = packet(fields);
    bytes.set(values, at);
    return bytes;
  };
  return [
    ['nothing', 'link-header', new Uint8Array(0)],
    ['13 bytes', 'link-header', new Uint8Array(13)],
    ['ARP', 'not-ip', change({}, 12, 8, 6)],
    ['half a VLAN tag', 'link-header', packet({ vlans: [0x8100] }).subarray(0, 16)],
    ['a link type of another world', 'link-type', packet(), 147],
    ['no IP after the EtherType', 'ipv4-header', packet().subarray(0, 14)],
    ['no raw IP', 'ip-version', new Uint8Array(0), LINKTYPE.RAW],
    ['IPv4 by the EtherType, IPv6 by the header', 'ip-version', change({}, 14, 0x65)],
    ['a header of 16 bytes', 'ipv4-header', change({}, 14, 0x44)],
    [
      'a header longer than the frame',
      'ipv4-header',
      change({ raw: true, payload: new Uint8Array(0) }, 0, 0x4f),
      LINKTYPE.RAW,
    ],
    ['a total length longer than the frame', 'ipv4-length', change({}, 16, 5, 0)],
    ['a total length shorter than the header', 'ipv4-length', change({}, 16, 0, 19)],
    ['a total length of 0', 'ipv4-length', change({}, 16, 0, 0)],
    ['IPv6, cut', 'ipv6-header', packet({ version: 6 }).subarray(0, 14 + 39)],
    ['an IPv6 length longer than the frame', 'ipv6-length', change({ version: 6 }, 18, 5, 0)],
    ['a jumbogram', 'jumbogram', change({ version: 6 }, 18, 0, 0, 0)],
    [
      'a fragment beyond the end of the largest packet',
      'fragment-range',
      asFragment(packet({ payload: new Uint8Array(60) }), 65528, false),
    ],
    ['a TCP header that is cut', 'tcp-header', change({}, 16, 0, 39)],
    ['a TCP header of 16 bytes', 'tcp-header', change({}, 46, 0x40)],
    ['a TCP header longer than its packet', 'tcp-header', change({}, 46, 0xf0)],
    ['a UDP header that is cut', 'udp-header', change({ protocol: 17 }, 16, 0, 27)],
    ['a UDP length of 7', 'udp-length', change({ protocol: 17 }, 38, 0, 7)],
    ['a UDP length longer than the packet', 'udp-length', change({ protocol: 17 }, 38, 0, 12)],
    ['an ICMP header that is cut', 'icmp-header', packet({ protocol: 1, payload: new Uint8Array(7) })],
  ];
})();

for (const [name, verdict, bytes, linkType] of LIES) {
  test(`${name}: ${verdict}`, () => assert.equal(parse(bytes, linkType), verdict));
}

test('every verdict has a packet that gets it', () => {
  const seen = new Set<string>(['ok', 'vlan-depth', 'ipv6-extensions', ...LIES.map(([, verdict]) => verdict)]);
  assert.deepEqual(
    VERDICTS.filter((verdict) => !seen.has(verdict)),
    [],
  );
});

test('a part of a buffer that is not there is refused', () => {
  assert.throws(() => view.parse(new Uint8Array(10), 5, 6, 1), RangeError);
  assert.throws(() => view.parse(new Uint8Array(10), -1, 6, 1), RangeError);
});

test('no bytes lead out of the frame', () => {
  const types = Object.values(LINKTYPE);
  const seeds = [
    packet(),
    packet({ version: 6, extension: 0, options: [6, 0, 1, 4, 0, 0, 0, 0] }),
    packet({ vlans: [0x8100] }),
    icmpError(packet({ raw: true })),
  ];
  const quoted = new PacketView();
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 6 }),
      fc.nat(120),
      fc.constantFrom(...types),
      (seed, changes, cut, linkType) => {
        const bytes = seed.slice(0, Math.max(0, seed.length - (cut < 60 ? 0 : cut - 60)));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        const verdict = parse(bytes, linkType);
        if (verdict !== 'ok') return;
        for (const one of quoted.parseQuoted(view) === 'ok' ? [view, quoted] : [view]) {
          assert.ok(one.start <= one.ipStart && one.ipEnd <= bytes.length && one.l4 >= one.ipStart);
          assert.ok(one.l4Length >= 0 && one.l4 + one.l4Length <= one.ipEnd);
          assert.ok(one.checkAt < 0 || (one.checkAt >= one.l4 && one.checkAt + 2 <= one.l4 + one.l4Length));
        }
      },
    ),
    { numRuns: 5000 },
  );
});
