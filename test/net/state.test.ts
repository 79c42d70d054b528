import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  type ChecksumState,
  classifyChecksum,
  finishAt,
  finishChecksum,
  LINKTYPE,
  NetProtocolError,
  PacketView,
} from '#dist/net/index.js';
import { asFragment, type Fields, icmpError, naiveSum, packet } from './packets.js';

const view = new PacketView();

function state(bytes: Uint8Array, linkType: number = LINKTYPE.ETHERNET): ChecksumState {
  view.parse(bytes, 0, bytes.length, linkType);
  return classifyChecksum(view);
}

function changed(fields: Fields, at: number, ...values: number[]): Uint8Array {
  const bytes = packet(fields);
  bytes.set(values, at);
  return bytes;
}

const CASES: readonly [name: string, ChecksumState, Uint8Array][] = [
  ['TCP, full', 'good', packet()],
  ['UDP, full', 'good', packet({ protocol: 17 })],
  ['TCP over IPv6, full', 'good', packet({ version: 6 })],
  ['TCP, full, padded by Ethernet', 'good', packet({ padding: 6 })],
  ['TCP, partial', 'partial', packet({ check: 'partial' })],
  ['UDP, partial', 'partial', packet({ protocol: 17, check: 'partial' })],
  [
    'UDP over IPv6 in a VLAN, partial',
    'partial',
    packet({ version: 6, protocol: 17, check: 'partial', vlans: [0x8100] }),
  ],
  ['TCP, wrong', 'corrupt', packet({ check: 'wrong' })],
  ['TCP, 0', 'corrupt', packet({ check: 'zero' })],
  ['UDP over IPv6, wrong', 'corrupt', packet({ version: 6, protocol: 17, check: 'wrong' })],
  ['UDP without', 'none', packet({ protocol: 17, check: 'zero' })],
  ['a first fragment', 'none', asFragment(packet(), 0, true)],
  ['a later fragment', 'none', asFragment(packet(), 1480, false)],
  ['ICMP, full', 'good', icmpError(packet({ raw: true }))],
  ['ICMP, wrong', 'corrupt', icmpError(packet({ raw: true }), { check: 'wrong' })],
  ['ICMPv6, full', 'good', icmpError(packet({ raw: true, version: 6 }), { version: 6 })],
  [
    'ICMPv6, a pseudo-header sum, which nobody offloads',
    'corrupt',
    icmpError(packet({ raw: true, version: 6 }), { version: 6, check: 'partial' }),
  ],
  ['a wrong IPv4 header', 'corrupt', changed({}, 22, 63)],
  ['an IPv4 header whose checksum a device was to fill', 'partial', changed({ check: 'partial' }, 24, 0, 0)],
  ['SCTP', 'other', packet({ protocol: 132, payload: new Uint8Array(40) })],
  ['ESP', 'other', packet({ protocol: 50, payload: new Uint8Array(40) })],
  [
    'a routing header with hops to go',
    'other',
    packet({ version: 6, extension: 43, options: [6, 0, 2, 1, 0, 0, 0, 0] }),
  ],
  ['a length that lies', 'other', changed({}, 16, 5, 0)],
  ['ARP', 'other', changed({}, 12, 8, 6)],
];

for (const [name, expected, bytes] of CASES) {
  test(`${name}: ${expected}`, () => assert.equal(state(bytes), expected));
}

const anyPacket = fc.record({
  version: fc.constantFrom(4 as const, 6 as const),
  protocol: fc.constantFrom(6, 17),
  sourcePort: fc.nat(65535),
  destinationPort: fc.nat(65535),
  payload: fc.uint8Array({ maxLength: 200 }),
});

test('a partial checksum is completed to the full one and nothing else changes', () => {
  fc.assert(
    fc.property(anyPacket, (fields) => {
      const bytes = packet({ ...fields, check: 'partial' });
      // one in 65,536 is right as it is
      assert.match(state(bytes), /partial|good/);
      assert.equal(finishChecksum(view), true);
      assert.deepEqual(bytes, packet(fields));
      assert.equal(state(bytes), 'good');
    }),
    { numRuns: 1000 },
  );
});

/** Payload that makes the checksum come out as 0. */
function zeroing(fields: Fields): Uint8Array {
  const bytes = packet({ ...fields, payload: Uint8Array.of(0, 0), check: 'full' });
  const check = state(bytes) === 'good' ? ((bytes[view.checkAt] ?? 0) << 8) | (bytes[view.checkAt + 1] ?? 0) : 0;
  return Uint8Array.of(check >> 8, check & 255);
}

test('a checksum of 0 is sent as ffff', () => {
  for (const protocol of [6, 17]) {
    const fields: Fields = { protocol };
    const bytes = packet({ ...fields, payload: zeroing(fields), check: 'partial' });
    assert.equal(state(bytes), 'partial');
    finishChecksum(view);
    assert.deepEqual([...bytes.subarray(view.checkAt, view.checkAt + 2)], [255, 255]);
    assert.equal(state(bytes), 'good');
  }
});

test('what is both right and the sum of its pseudo-header is not changed by being completed', () => {
  let bytes = packet();
  for (let word = 0; word < 65536; word++) {
    bytes = packet({ payload: Uint8Array.of(word >> 8, word & 255), check: 'partial' });
    if (naiveSum(bytes.subarray(34)) === 0xffff - ((bytes[50] ?? 0) * 256 + (bytes[51] ?? 0))) break;
  }
  assert.equal(state(bytes), 'good');
  const before = bytes.slice();
  finishChecksum(view);
  assert.deepEqual(bytes, before);
});

test('a protocol that cannot be completed is said to be so, and left alone', () => {
  for (const bytes of [
    packet({ protocol: 132, payload: new Uint8Array(40) }),
    asFragment(packet({ check: 'partial' }), 0, true),
    changed({}, 12, 8, 6),
    changed({}, 16, 5, 0),
    icmpError(packet({ raw: true })),
  ]) {
    const before = bytes.slice();
    state(bytes);
    assert.equal(finishChecksum(view), false);
    assert.deepEqual(bytes, before);
  }
  const error = new NetProtocolError('finish', 132, 'vif1.0');
  assert.deepEqual(
    [error.code, error.errno, error.stage, error.ipProto, error.device],
    ['EPROTO', -71, 'finish', 132, 'vif1.0'],
  );
});

test('a checksum is completed where a vnet header says, unless that is not there', () => {
  const bytes = packet({ check: 'partial' });
  assert.equal(finishAt(bytes, 34, 16), true);
  assert.deepEqual(bytes, packet());
  for (const [start, offset] of [
    [34, bytes.length - 35],
    [bytes.length, 0],
    [-1, 16],
    [34, -35],
    [65535, 65535],
  ] as const) {
    assert.equal(finishAt(bytes, start, offset), false, `${start} ${offset}`);
  }
  assert.equal(finishAt(bytes, 34, 16, bytes.length + 1), false);
});
