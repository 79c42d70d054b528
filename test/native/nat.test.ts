import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { loadAddon } from '#dist/native/load.js';
import { PacketBatch } from '#dist/net/capture/batch.js';
import { captureFormat } from '#dist/net/capture/detect.js';
import { LINKTYPE, Nat, type NatOptions, type NatRule } from '#dist/net/index.js';
import { COUNTERS } from '#dist/net/nat/engine.js';
import { pcap } from '../net/capture/files.js';
import { asFragment, type Fields, icmpError, packet } from '../net/packets.js';

const { addon } = loadAddon();
const skip = addon === null ? 'no native addon' : false;
const EINVAL = -22;
const EBADF = -9;

const V4 = [
  [10, 0, 0, 1],
  [10, 0, 0, 2],
  [192, 0, 2, 9],
  [198, 51, 100, 1],
] as const;
const V6 = V4.map((address) => [0x20, 1, 0xd, 0xb8, ...new Array(8).fill(0), ...address]);
const RULES: readonly NatRule[] = [
  {
    kind: 'dnat',
    destination: '198.51.100.1',
    protocol: 'tcp',
    port: { min: 1, max: 3 },
    to: '10.0.0.2',
    toPorts: { min: 8, max: 10 },
  },
  { kind: 'dnat', destination: '198.51.100.1', protocol: 'udp', port: 2, to: '10.0.0.1' },
  { kind: 'snat', source: '10.0.0.0/8', to: '198.51.100.1', ports: { min: 1, max: 40 } },
  { kind: 'snat', source: '2001:db8::a00:0/104', to: '2001:db8::c633:6401' },
];

/** Few hosts and ports, so that they meet. */
const fields = fc
  .record({
    version: fc.constantFrom(4 as const, 4 as const, 6 as const),
    from: fc.nat(3),
    to: fc.nat(3),
    protocol: fc.constantFrom(6, 17, 17, 1, 58, 47, 136),
    sourcePort: fc.constantFrom(1, 2, 3, 600, 40000),
    destinationPort: fc.constantFrom(1, 2, 3, 600, 40000),
    check: fc.constantFrom('full' as const, 'partial' as const, 'zero' as const, 'wrong' as const),
    payload: fc.uint8Array({ minLength: 8, maxLength: 40 }),
    type: fc.constantFrom(0, 8, 128, 129, 3, 13),
    flags: fc.constantFrom(2, 16, 17, 4, 18),
  })
  .map(({ from, to, type, flags, ...rest }) => {
    const hosts = rest.version === 4 ? V4 : V6;
    const payload = rest.payload.slice();
    if (rest.protocol === 1 || rest.protocol === 58) payload.set([type, 0, 0, 0, 0, rest.sourcePort & 3], 0);
    const all: Fields = { ...rest, payload, source: hosts[from] ?? [], destination: hosts[to] ?? [] };
    return { fields: all, flags };
  });

const anyPacket = fc
  .record({
    one: fields,
    shape: fc.constantFrom('plain', 'plain', 'plain', 'first', 'later', 'error'),
    about: fields,
    cut: fc.nat(60),
    change: fc.option(fc.tuple(fc.nat(80), fc.nat(255)), { freq: 8 }),
    seconds: fc.constantFrom(0, 0, 1, 40, 200),
  })
  .map(({ one, shape, about, cut, change, seconds }) => {
    let bytes = packet(one.fields);
    if (one.fields.protocol === 6) bytes[one.fields.version === 6 ? 67 : 47] = one.flags;
    if (shape === 'first' && one.fields.version === 4) bytes = asFragment(bytes, 0, true);
    if (shape === 'later' && one.fields.version === 4) bytes = asFragment(bytes, 16, false);
    if (shape === 'error') {
      const quoted = packet({ ...about.fields, version: one.fields.version ?? 4, raw: true });
      bytes = icmpError(quoted.subarray(0, Math.max(28, quoted.length - cut)), one.fields);
    }
    if (change && change[0] < bytes.length) bytes[change[0]] = change[1];
    return { bytes, seconds };
  });

test('a NAT does the same natively as in TypeScript: bytes, outcomes, ports, connections', { skip }, () => {
  const options = fc.record({
    seed: fc.nat(),
    portSelection: fc.constantFrom('linux-6' as const, 'linux-2.6.12' as const),
    finish: fc.boolean(),
    maxConnections: fc.constantFrom(3, 1000),
    historic: fc.constantFrom({}, { historic: '2005-10-14' as const }),
  });
  fc.assert(
    fc.property(fc.array(anyPacket, { minLength: 1, maxLength: 40 }), options, (packets, { historic, ...rest }) => {
      const all: NatOptions = { ...rest, ...historic, rules: RULES };
      using native = new Nat(all);
      using plain = new Nat({ ...all, engine: 'typescript' });
      let now = 1000;
      const batch = new PacketBatch();
      const parts: number[] = [];
      for (const { bytes, seconds } of packets) {
        now += seconds;
        batch.add(parts.length, bytes.length, LINKTYPE.ETHERNET, now, 0);
        parts.push(...bytes);
      }
      const [one, other] = [Uint8Array.from(parts), Uint8Array.from(parts)];
      native.translateBatch(one, batch);
      plain.translateBatch(other, batch);
      for (let i = 0; i < packets.length; i++) {
        assert.equal(native.outcome(i), plain.outcome(i), `packet ${i}`);
        assert.equal(native.state(i), plain.state(i), `packet ${i}`);
      }
      assert.deepEqual(one, other);
      assert.deepEqual(native.verdicts, plain.verdicts);
      assert.deepEqual(native.outcomes, plain.outcomes);
      assert.equal(native.partial, plain.partial);
      assert.equal(native.connections, plain.connections);
    }),
    { numRuns: 1500 },
  );
});

test('translateNext does what scan and translateBatch do, in both byte orders and of a cut file', { skip }, () => {
  const order = fc.record({ little: fc.boolean(), nanoseconds: fc.boolean() });
  fc.assert(
    fc.property(fc.array(anyPacket, { maxLength: 40 }), order, fc.nat(100), (packets, one, cut) => {
      let now = 1000;
      const captured = packets.map(({ bytes, seconds }, i) => {
        now += seconds;
        return { bytes, time: BigInt(now) * 1_000_000_000n + BigInt(i) * 1000n };
      });
      const whole = pcap(captured, one);
      const file = whole.subarray(0, Math.max(24, whole.length - cut));
      using native = new Nat({ rules: RULES, seed: 1 });
      using plain = new Nat({ rules: RULES, seed: 1, engine: 'typescript' });
      const passes = [native, plain].map((nat) => {
        const bytes = file.slice();
        const format = captureFormat(bytes);
        const batch = new PacketBatch();
        // as if the first part of the file had ended behind the header
        let at = format.scan(bytes, 0, 24, batch, 0);
        const found: unknown[] = [];
        for (;;) {
          batch.count = 0;
          at = nat.translateNext(format, bytes, at, bytes.length, batch, at);
          if (batch.count === 0) return { at, bytes, found, verdicts: nat.verdicts, outcomes: nat.outcomes };
          for (let i = 0; i < batch.count; i++) {
            const place = [...batch.places.subarray(3 * i, 3 * i + 3)];
            found.push([place, batch.seconds[i], batch.nanoseconds[i], nat.outcome(i), nat.state(i)]);
          }
        }
      });
      assert.deepEqual(passes[0], passes[1]);
      assert.equal(native.partial, plain.partial);
    }),
    { numRuns: 300 },
  );
});

test('translateNext throws what scan does when a packet is too long', { skip }, () => {
  const file = pcap([{ bytes: packet() }, { bytes: packet() }]);
  new DataView(file.buffer).setUint32(24 + 16 + packet().length + 8, (16 << 20) + 1, true);
  using nat = new Nat({ rules: RULES, seed: 1 });
  const format = captureFormat(file);
  const batch = new PacketBatch();
  const at = format.scan(file, 0, 24, batch, 0);
  const next = nat.translateNext(format, file, at, file.length, batch, at);
  assert.equal(batch.count, 1);
  batch.count = 0;
  assert.throws(() => nat.translateNext(format, file, next, file.length, batch, next), {
    fault: 'packet-length',
  });
});

test('openNat and translate: what is no rule, no option, no array is refused', { skip }, () => {
  assert.ok(addon);
  const open = addon.openNat as (...args: readonly unknown[]) => unknown;
  const rule = new Uint8Array(64);
  rule.set([1, 4]);
  const options = Float64Array.of(1, 10, 0, 0, 1, ...new Array(10).fill(30));
  const changed = (bytes: Uint8Array, at: number, value: number): Uint8Array => bytes.with(at, value);
  for (const args of [
    [],
    [rule],
    [rule.subarray(1), options],
    [new Uint8Array(0), options],
    [new Uint8Array(64 * 257), options],
    [changed(rule, 0, 3), options],
    [changed(rule, 1, 5), options],
    [changed(rule, 3, 33), options],
    [changed(rule, 4, 33), options],
    [changed(rule, 13, 1), options],
    [rule, options.subarray(1)],
    [rule, options.with(0, -1)],
    [rule, options.with(0, Number.NaN)],
    [rule, options.with(1, 0)],
    [rule, options.with(1, 2 ** 23)],
    [rule, options.with(6, Number.NaN)],
    [rule, options.with(7, Number.POSITIVE_INFINITY)],
  ]) {
    assert.equal(open(...args), EINVAL);
  }
  const nat = addon.openNat(rule, options);
  assert.ok(typeof nat === 'object');
  const translate = nat.translate as (...args: readonly unknown[]) => number;
  const bytes = packet();
  const place = Uint32Array.of(0, bytes.length, 1);
  const good: unknown[] = [
    bytes,
    place,
    new Float64Array(1),
    1,
    new Uint8Array(1),
    new Uint8Array(1),
    new Float64Array(COUNTERS),
  ];
  assert.equal(translate(...good), 0);
  for (const [at, bad] of [
    [0, 'x'],
    [1, Uint32Array.of(0, bytes.length + 1, 1)],
    [1, Uint32Array.of(0xffffffff, 0xffffffff, 1)],
    [1, Uint32Array.of(0, 1)],
    [2, new Float64Array(0)],
    [2, new Float32Array(1)],
    [3, 2],
    [3, -1],
    [4, new Uint8Array(0)],
    [5, new Uint8Array(0)],
    [6, new Float64Array(COUNTERS - 1)],
  ] as const) {
    assert.equal(translate(...good.with(at, bad)), EINVAL, `argument ${at}`);
  }
  const pcapOf = nat.translatePcap as (...args: readonly unknown[]) => number;
  const records = Uint32Array.of(0, bytes.length, 1, 0, 1);
  const all: unknown[] = [bytes, records, place, new Float64Array(1), new Uint32Array(1), ...good.slice(4)];
  assert.equal(pcapOf(...all), 0);
  for (const [at, bad] of [
    [0, 'x'],
    [1, new Uint32Array(4)],
    [1, Uint32Array.of(0, bytes.length + 1, 1, 0, 1)],
    [2, new Float64Array(1)],
    [3, new Float32Array(1)],
    [4, new Float64Array(1)],
    [5, null],
    [6, null],
    [7, new Float64Array(COUNTERS - 1)],
  ] as const) {
    assert.equal(pcapOf(...all.with(at, bad)), EINVAL, `argument ${at}`);
  }
  assert.equal(pcapOf(...all.with(1, Uint32Array.of(0xffffffff, bytes.length, 1, 0, 1))), 0);
  nat.close();
  nat.close();
  assert.equal(pcapOf(...all), EBADF);
  assert.equal(translate(...good), EBADF);
  assert.equal(nat.connections(), EBADF);
});
