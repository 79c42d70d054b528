import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadAddon } from '#dist/native/load.js';
import {
  classifyChecksum,
  finishChecksum,
  LINKTYPE,
  Nat,
  type NatOptions,
  type NatRule,
  natRewrite,
  PacketView,
} from '#dist/net/index.js';
import { asFragment, type Fields, icmpError, naiveSum, packet } from '../packets.js';

const INSIDE = [10, 0, 1, 2] as const;
const OUTSIDE = [192, 0, 2, 9] as const;
const PUBLIC = '198.51.100.1';
const PUBLIC_BYTES = [198, 51, 100, 1] as const;
const SNAT: NatRule = { kind: 'snat', source: '10.0.0.0/8', to: PUBLIC };

const ENGINES = loadAddon().addon ? (['typescript', 'native'] as const) : (['typescript'] as const);
const view = new PacketView();

/** Runs a test with both engines. */
function both(name: string, body: (make: (options: Partial<NatOptions>) => Nat) => void): void {
  for (const engine of ENGINES) {
    test(`${name} (${engine})`, () => body((options) => new Nat({ rules: [SNAT], seed: 1, engine, ...options })));
  }
}

function translate(nat: Nat, bytes: Uint8Array, now = 0, partial?: boolean): string {
  return nat.translate(bytes, 0, bytes.length, LINKTYPE.ETHERNET, now, partial);
}

/** Both ends of a packet, as they are now. */
function ends(bytes: Uint8Array): string {
  assert.equal(view.parse(bytes, 0, bytes.length, LINKTYPE.ETHERNET), 'ok');
  const { addresses, addressLength } = view;
  const text = (at: number): string => [...bytes.subarray(at, at + addressLength)].join('.');
  const port = (number: number): string => (number < 0 ? '' : `:${number}`);
  return `${text(addresses)}${port(view.sourcePort)} > ${text(addresses + addressLength)}${port(view.destinationPort)}`;
}

function portOf(bytes: Uint8Array): number {
  ends(bytes);
  return view.sourcePort;
}

function stateOf(bytes: Uint8Array): string {
  view.parse(bytes, 0, bytes.length, LINKTYPE.ETHERNET);
  return classifyChecksum(view);
}

const out = (fields: Fields = {}): Uint8Array => packet({ source: INSIDE, destination: OUTSIDE, ...fields });
const back = (fields: Fields = {}): Uint8Array =>
  packet({ source: OUTSIDE, destination: PUBLIC_BYTES, sourcePort: 443, destinationPort: 40000, ...fields });

for (const protocol of [6, 17]) {
  for (const check of ['full', 'partial'] as const) {
    both(`protocol ${protocol}, ${check}: out with the public address, and the answer finds its way`, (make) => {
      const nat = make({});
      const bytes = out({ protocol, check });
      assert.equal(translate(nat, bytes), 'translated');
      assert.deepEqual(bytes, packet({ protocol, source: PUBLIC_BYTES, destination: OUTSIDE }));
      const answer = back({ protocol, check });
      assert.equal(translate(nat, answer), 'translated');
      const expected = { protocol, source: OUTSIDE, destination: INSIDE, sourcePort: 443, destinationPort: 40000 };
      assert.deepEqual(answer, packet(expected));
      assert.equal(nat.connections, 1);
    });
  }
}

both('what no rule is about passes untouched', (make) => {
  const nat = make({});
  const arp = out();
  arp.set([8, 6], 12);
  for (const bytes of [back(), out({ source: [172, 16, 0, 1] }), out({ destination: [10, 9, 9, 9] }), arp]) {
    const before = bytes.slice();
    assert.equal(translate(nat, bytes), 'untouched');
    assert.deepEqual(bytes, before);
  }
  assert.equal(nat.connections, 0);
});

both('what the parser refuses is refused, and the reason counted', (make) => {
  const nat = make({});
  const bytes = out();
  bytes.set([5, 0], 16);
  assert.equal(translate(nat, bytes), 'refused');
  assert.equal(
    nat.verdicts.reduce((sum, count) => sum + count),
    1,
  );
});

both('a port that another connection has is changed, and the checksums hold, full and partial', (make) => {
  for (const check of ['full', 'partial'] as const) {
    const nat = make({});
    translate(nat, out());
    const second = out({ source: [10, 0, 1, 3], check });
    assert.equal(translate(nat, second), 'translated');
    assert.notEqual(portOf(second), 40000);
    assert.ok(portOf(second) >= 1024);
    assert.equal(stateOf(second), 'good');
    const answer = back({ destinationPort: portOf(second) });
    translate(nat, answer);
    assert.equal(ends(answer), '192.0.2.9:443 > 10.0.1.3:40000');
    assert.equal(stateOf(answer), 'good');
  }
});

both('a partial checksum that is not completed follows the address only', (make) => {
  const nat = make({
    finish: false,
    rules: [{ kind: 'snat', source: '10.0.0.0/8', to: PUBLIC, ports: { min: 7, max: 7 } }],
  });
  const bytes = out({ check: 'partial' });
  assert.equal(translate(nat, bytes), 'translated');
  assert.deepEqual(bytes, packet({ source: PUBLIC_BYTES, destination: OUTSIDE, sourcePort: 7, check: 'partial' }));
});

both('the patch of 2005-10-14 is right while the port stays, and wrong when it changes', (make) => {
  for (const protocol of [6, 17]) {
    const nat = make({ historic: '2005-10-14' });
    const kept = out({ protocol, check: 'partial' });
    translate(nat, kept);
    assert.equal(stateOf(kept), 'good');
    const changed = out({ protocol, source: [10, 0, 1, 3], check: 'partial' });
    translate(nat, changed);
    assert.notEqual(portOf(changed), 40000);
    assert.equal(stateOf(changed), 'corrupt');
    const full = out({ protocol, source: [10, 0, 1, 4] });
    translate(nat, full);
    assert.equal(stateOf(full), 'good');
  }
});

both('told that it is partial, a checksum is not looked at; told that it is not, neither', (make) => {
  const nat = make({});
  const partial = out({ check: 'partial' });
  translate(nat, partial, 0, true);
  assert.equal(stateOf(partial), 'good');
  const wrong = out({ check: 'wrong' });
  translate(nat, wrong, 0, false);
  assert.equal(stateOf(wrong), 'corrupt');
});

both('UDP without checksum stays without', (make) => {
  const bytes = out({ protocol: 17, check: 'zero' });
  assert.equal(translate(make({}), bytes), 'translated');
  assert.deepEqual(bytes, packet({ protocol: 17, check: 'zero', source: PUBLIC_BYTES, destination: OUTSIDE }));
});

both('a UDP checksum that becomes 0 is sent as ffff', (make) => {
  // a payload for which the sum of the translated packet is ffff
  const translated: Fields = { protocol: 17, source: PUBLIC_BYTES, destination: OUTSIDE };
  const plain = packet({ ...translated, payload: Uint8Array.of(0, 0) });
  const payload = plain.slice(40, 42);
  for (const check of ['full', 'partial'] as const) {
    const bytes = out({ protocol: 17, payload, check });
    translate(make({}), bytes);
    assert.deepEqual([...bytes.subarray(40, 42)], [255, 255]);
    assert.equal(stateOf(bytes), 'good');
  }
});

both('a corrupt packet stays corrupt', (make) => {
  const bytes = out({ check: 'wrong' });
  translate(make({}), bytes);
  assert.equal(stateOf(bytes), 'corrupt');
});

both('ports come from the range that the rule has', (make) => {
  const nat = make({ rules: [{ kind: 'snat', source: '10.0.0.0/8', to: PUBLIC, ports: { min: 5000, max: 5003 } }] });
  const seen = new Set<number>();
  for (let host = 1; host <= 5; host++) {
    const bytes = out({ source: [10, 0, 1, host], check: 'partial' });
    const outcome = translate(nat, bytes);
    assert.equal(outcome, host <= 4 ? 'translated' : 'no-port');
    if (outcome === 'translated') {
      seen.add(portOf(bytes));
      assert.equal(stateOf(bytes), 'good');
    }
  }
  assert.deepEqual([...seen].sort(), [5000, 5001, 5002, 5003]);
  // a port that is in the range already is kept
  const kept = out({ sourcePort: 5002, destinationPort: 80 });
  translate(nat, kept);
  assert.equal(portOf(kept), 5002);
});

both('the ports of 2005: from where the last search ended, privileged ones among themselves', (make) => {
  const nat = make({ portSelection: 'linux-2.6.12' });
  const ports = (sourcePort: number): number[] =>
    [1, 2, 3, 4].map((host) => {
      const bytes = out({ source: [10, 0, 2, host], sourcePort, destinationPort: 1000 + sourcePort });
      translate(nat, bytes);
      return portOf(bytes);
    });
  assert.deepEqual(ports(40000), [40000, 1024, 1025, 1026]);
  assert.deepEqual(ports(40001), [40001, 1026, 1027, 1028]);
  assert.deepEqual(ports(100), [100, 5, 6, 7]);
  assert.deepEqual(ports(700), [700, 606, 607, 608]);
});

both('the ports of today: at random, of the same class', (make) => {
  const nat = make({});
  const ports = (sourcePort: number): number[] =>
    Array.from({ length: 30 }, (_, host) => {
      const bytes = out({ source: [10, 0, 3, host], sourcePort });
      translate(nat, bytes);
      return portOf(bytes);
    }).slice(1);
  const within = (sourcePort: number, min: number, max: number): void => {
    const all = ports(sourcePort);
    assert.ok(
      all.every((port) => port >= min && port <= max),
      `${all}`,
    );
    assert.equal(new Set(all).size, all.length);
    const steps = all.map((port, i) => port - (all[i - 1] ?? 0));
    assert.ok(!steps.every((step) => step === 1));
  };
  within(40000, 1024, 65535);
  within(100, 1, 511);
  within(700, 600, 1023);
});

both('today gives up in a crowded range where 2005 finds the last port', (make) => {
  const crowd = (nat: Nat): number => {
    let translated = 0;
    for (let i = 0; i < 4096; i++) {
      const bytes = out({ source: [10, 1, i >> 8, i & 255], sourcePort: 9 });
      if (translate(nat, bytes) === 'translated') translated++;
    }
    return translated;
  };
  const rules: NatRule[] = [{ kind: 'snat', source: '10.0.0.0/8', to: PUBLIC, ports: { min: 10000, max: 14095 } }];
  assert.equal(crowd(make({ rules, portSelection: 'linux-2.6.12' })), 4096);
  const today = crowd(make({ rules }));
  assert.ok(today > 3500 && today < 4096, `${today}`);
});

both('DNAT: to another address and port, and the answer as from the old one', (make) => {
  const rules: NatRule[] = [
    { kind: 'dnat', destination: PUBLIC, protocol: 'tcp', port: 80, to: '10.0.1.2', toPorts: { min: 8080, max: 8080 } },
  ];
  const nat = make({ rules });
  const bytes = packet({
    source: OUTSIDE,
    destination: PUBLIC_BYTES,
    sourcePort: 5,
    destinationPort: 80,
    check: 'partial',
  });
  assert.equal(translate(nat, bytes), 'translated');
  assert.equal(ends(bytes), '192.0.2.9:5 > 10.0.1.2:8080');
  assert.equal(stateOf(bytes), 'good');
  const answer = packet({ source: INSIDE, destination: OUTSIDE, sourcePort: 8080, destinationPort: 5 });
  assert.equal(translate(nat, answer), 'translated');
  assert.equal(ends(answer), '198.51.100.1:80 > 192.0.2.9:5');
  assert.equal(stateOf(answer), 'good');
  for (const other of [{ destinationPort: 81 }, { destinationPort: 80, protocol: 17 }]) {
    assert.equal(translate(nat, packet({ source: OUTSIDE, destination: PUBLIC_BYTES, ...other })), 'untouched');
  }
});

both('DNAT and SNAT together: inside, by the public address', (make) => {
  const rules: NatRule[] = [
    { kind: 'dnat', destination: PUBLIC, port: 80, to: '192.168.7.7' },
    { kind: 'snat', source: '10.0.0.0/8', to: '192.168.7.1' },
  ];
  const nat = make({ rules });
  const bytes = packet({ source: INSIDE, destination: PUBLIC_BYTES, destinationPort: 80, check: 'partial' });
  assert.equal(translate(nat, bytes), 'translated');
  assert.equal(ends(bytes), '192.168.7.1:40000 > 192.168.7.7:80');
  assert.equal(stateOf(bytes), 'good');
  const answer = packet({
    source: [192, 168, 7, 7],
    destination: [192, 168, 7, 1],
    sourcePort: 80,
    destinationPort: 40000,
  });
  translate(nat, answer);
  assert.equal(ends(answer), '198.51.100.1:80 > 10.0.1.2:40000');
});

both('IPv6: the pseudo-header has the new address', (make) => {
  const rules: NatRule[] = [{ kind: 'snat', source: '2001:db8::/48', to: '2001:db8:ffff::1' }];
  const to = [0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
  for (const protocol of [6, 17]) {
    for (const check of ['full', 'partial'] as const) {
      const bytes = packet({ version: 6, protocol, check });
      assert.equal(translate(make({ rules }), bytes), 'translated');
      assert.deepEqual(bytes, packet({ version: 6, protocol, source: to }));
    }
  }
  const echo = Uint8Array.of(128, 0, 0, 0, 0x12, 0x34, 0, 1);
  const bytes = packet({ version: 6, protocol: 58, payload: echo });
  assert.equal(translate(make({ rules }), bytes), 'translated');
  assert.deepEqual(bytes, packet({ version: 6, protocol: 58, payload: echo, source: to }));
});

const echo = (type: number, id: number): Uint8Array => Uint8Array.of(type, 0, 0, 0, id >> 8, id & 255, 0, 1, 9, 9);

both('ICMP queries have identifiers for ports', (make) => {
  const nat = make({});
  const first = out({ protocol: 1, payload: echo(8, 77) });
  assert.equal(translate(nat, first), 'translated');
  const second = out({ source: [10, 0, 1, 3], protocol: 1, payload: echo(8, 77) });
  assert.equal(translate(nat, second), 'translated');
  ends(second);
  const id = view.icmpId;
  assert.notEqual(id, 77);
  assert.equal(stateOf(second), 'good');
  const answer = back({ protocol: 1, payload: echo(0, id) });
  assert.equal(translate(nat, answer), 'translated');
  assert.deepEqual(answer, packet({ protocol: 1, source: OUTSIDE, destination: [10, 0, 1, 3], payload: echo(0, 77) }));
  assert.equal(translate(nat, out({ protocol: 1, payload: echo(0, 5) })), 'untouched');
});

/** Parses the packet that an ICMP error quotes. */
function quotedIn(bytes: Uint8Array): { readonly inner: PacketView; readonly text: string } {
  const inner = new PacketView();
  view.parse(bytes, 0, bytes.length, LINKTYPE.ETHERNET);
  assert.equal(inner.parseQuoted(view), 'ok');
  const at = inner.addresses;
  const source = [...bytes.subarray(at, at + 4)].join('.');
  return { inner, text: `${source}:${inner.sourcePort}` };
}

for (const protocol of [6, 17]) {
  both(
    `an ICMP error about protocol ${protocol}: the quoted packet is the one that was sent, as far as it is there`,
    (make) => {
      const nat = make({ rules: [{ kind: 'snat', source: '10.0.0.0/8', to: PUBLIC, ports: { min: 999, max: 999 } }] });
      const original = out({ protocol, payload: new Uint8Array(30).fill(7) });
      const sent = original.slice();
      assert.equal(translate(nat, sent), 'translated');
      for (const there of [28, 40, 58]) {
        const error = icmpError(sent.subarray(14, 14 + there), { source: [192, 0, 2, 254], destination: PUBLIC_BYTES });
        assert.equal(translate(nat, error), 'translated');
        assert.equal(ends(error), '192.0.2.254 > 10.0.1.2');
        assert.equal(stateOf(error), 'good');
        assert.equal(quotedIn(error).text, '10.0.1.2:40000');
        const quoted = error.subarray(42);
        const expected = original.slice(14, 14 + there);
        // of TCP, 8 bytes leave the checksum out: what is there of a longer one is right
        assert.deepEqual(quoted, expected, `${there} bytes`);
      }
    },
  );
}

both('an ICMP error from inside about an answer hides who tells of it only as far as its end is hidden', (make) => {
  const nat = make({});
  translate(nat, out());
  const answer = back();
  translate(nat, answer);
  const error = icmpError(answer.subarray(14), { source: INSIDE, destination: OUTSIDE });
  assert.equal(translate(nat, error), 'translated');
  assert.equal(ends(error), '198.51.100.1 > 192.0.2.9');
  assert.equal(stateOf(error), 'good');
  assert.deepEqual(error.subarray(42), back().subarray(14));
  assert.equal(translate(nat, icmpError(out({ sourcePort: 1 }).subarray(14), { source: OUTSIDE })), 'untouched');
});

both('ICMPv6 errors: the outer checksum covers addresses, too', (make) => {
  const nat = make({
    rules: [{ kind: 'snat', source: '2001:db8::/48', to: '2001:db8:ffff::1', ports: { min: 9, max: 9 } }],
  });
  const to = [0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
  const original = packet({ version: 6, protocol: 17 });
  const sent = original.slice();
  translate(nat, sent);
  const error = icmpError(sent.subarray(14), { version: 6, source: to.with(15, 99), destination: to });
  assert.equal(translate(nat, error), 'translated');
  assert.equal(stateOf(error), 'good');
  assert.deepEqual(error.subarray(62), original.subarray(14));
});

both('fragments go where the first one went; one whose first was not seen goes nowhere', (make) => {
  const nat = make({});
  const later = (): Uint8Array => asFragment(packet({ source: INSIDE, destination: OUTSIDE, id: 5 }), 1480, false);
  assert.equal(translate(nat, later()), 'fragment');
  const whole = out({ id: 5, payload: new Uint8Array(200) });
  const first = asFragment(whole.subarray(0, 14 + 20 + 104), 0, true);
  first.set([0, 124], 16);
  first.set(asFragment(first, 0, true).subarray(24, 26), 24);
  assert.equal(translate(nat, first), 'translated');
  assert.equal(ends(first), '198.51.100.1:40000 > 192.0.2.9:443');
  const second = later();
  assert.equal(translate(nat, second), 'translated');
  assert.equal(ends(second), '198.51.100.1 > 192.0.2.9');
  assert.equal(naiveSum(second.subarray(14, 34)), 0xffff);
  assert.equal(translate(nat, later(), 31), 'fragment');
  // of a first fragment the checksum covers more than is there, and follows all the same
  const expected = packet({ source: PUBLIC_BYTES, destination: OUTSIDE, id: 5, payload: new Uint8Array(200) });
  assert.deepEqual(first.subarray(34), expected.subarray(34, 34 + 104));
});

both('other protocols have their address changed, and those that cannot be are told', (make) => {
  const nat = make({});
  const gre = out({ protocol: 47, payload: new Uint8Array(20) });
  assert.equal(translate(nat, gre), 'translated');
  assert.equal(ends(gre), '198.51.100.1 > 192.0.2.9');
  assert.equal(translate(nat, out({ source: [10, 0, 1, 3], protocol: 47, payload: new Uint8Array(20) })), 'no-port');
  for (const protocol of [51, 136, 33]) {
    const bytes = out({ protocol, payload: new Uint8Array(20) });
    const before = bytes.slice();
    assert.equal(translate(nat, bytes), 'unsupported');
    assert.deepEqual(bytes, before);
  }
});

both('connections are forgotten after their time: TCP by its state, UDP by whether it was answered', (make) => {
  const gone = (nat: Nat, answer: Uint8Array, now: number): boolean => translate(nat, answer, now) === 'untouched';
  const flags = (bytes: Uint8Array, value: number): Uint8Array => {
    bytes[47] = value;
    return bytes;
  };
  const tcp = (...steps: readonly [bytes: Uint8Array, now: number][]): Nat => {
    const nat = make({});
    for (const [bytes, now] of steps) translate(nat, bytes, now, false);
    return nat;
  };
  assert.ok(!gone(tcp([flags(out(), 2), 0]), back(), 120));
  assert.ok(gone(tcp([flags(out(), 2), 0]), back(), 121));
  assert.ok(!gone(tcp([flags(out(), 2), 0], [flags(back(), 18), 1]), back(), 432001));
  assert.ok(gone(tcp([flags(out(), 2), 0], [flags(back(), 18), 1]), back(), 432002));
  assert.ok(gone(tcp([flags(out(), 2), 0], [flags(back(), 18), 1], [flags(out(), 17), 2]), back(), 123));
  assert.ok(gone(tcp([flags(out(), 2), 0], [flags(back(), 20), 1]), back(), 12));
  assert.ok(!gone(tcp([flags(out(), 17), 0], [flags(out(), 2), 1]), back(), 121));
  const udp = { protocol: 17 };
  const nat = make({});
  translate(nat, out(udp));
  assert.ok(!gone(nat, back(udp), 30));
  assert.ok(!gone(nat, back(udp), 150));
  assert.ok(gone(nat, back(udp), 271));
  assert.equal(nat.connections, 0);
});

both('there are no more connections than there may be, until some expire', (make) => {
  const nat = make({ maxConnections: 3 });
  const open = (port: number, now: number): string => translate(nat, out({ protocol: 17, sourcePort: port }), now);
  assert.deepEqual(
    [1, 2, 3].map((port) => open(port, port)),
    ['translated', 'translated', 'translated'],
  );
  const four = out({ protocol: 17, sourcePort: 4 });
  const before = four.slice();
  assert.equal(translate(nat, four, 10), 'table-full');
  assert.deepEqual(four, before);
  assert.equal(open(2, 10), 'translated');
  assert.equal(open(4, 32), 'translated');
  assert.equal(nat.connections, 3);
});

both('100,000 connections, each with its own answer', (make) => {
  const nat = make({ seed: 7 });
  const bytes = out({ protocol: 17 });
  const again = new Uint8Array(bytes.length);
  for (let i = 0; i < 100_000; i++) {
    again.set(bytes);
    again.set([10, 1 + (i >> 16), (i >> 8) & 255, i & 255], 26);
    // 40,000 is one port; each remote port has 64,512 for all that come from above 1023
    again.set([i >> 15, i & 255], 36);
    assert.equal(translate(nat, again, 0, false), 'translated');
  }
  assert.equal(nat.connections, 100_000);
});

both('a masquerade does nothing without an address, and forgets all with a new one', (make) => {
  const nat = make({ rules: [{ kind: 'masquerade', source: '10.0.0.0/8' }] });
  assert.equal(translate(nat, out()), 'untouched');
  nat.setMasqueradeAddress(PUBLIC);
  const bytes = out();
  assert.equal(translate(nat, bytes), 'translated');
  assert.equal(ends(bytes), '198.51.100.1:40000 > 192.0.2.9:443');
  nat.setMasqueradeAddress('198.51.100.2');
  assert.equal(nat.connections, 0);
  assert.equal(translate(nat, back()), 'untouched');
});

both('a closed NAT says so, and closes twice', (make) => {
  const nat = make({});
  nat.close();
  nat.close();
  assert.throws(() => translate(nat, out()), /closed/);
});

test('what is wrong in the options is said', () => {
  for (const [options, message] of [
    [{ rules: [] }, /1 to 256 rules/],
    [{ rules: [{ kind: 'snat', source: '10.0.0.0/33', to: PUBLIC }] }, /no network/],
    [{ rules: [{ kind: 'snat', source: '10.0.0.0/8', to: '1.2.3' }] }, /no IP address/],
    [{ rules: [{ kind: 'snat', source: '10.0.0.0/8', to: '::1' }] }, /does not become/],
    [{ rules: [{ kind: 'snat', source: '10.0.0.0/8', to: PUBLIC, ports: { min: 9, max: 3 } }] }, /ports must be/],
    [{ rules: [SNAT], maxConnections: 0 }, /maxConnections/],
    [{ rules: [SNAT], timeouts: { udp: -1 } }, /timeouts/],
    [{ rules: [SNAT], portSelection: 'linux-2.4' }, /portSelection/],
    [{ rules: [SNAT], historic: '2006-02-09' }, /historic/],
  ] as const) {
    assert.throws(() => new Nat(options as unknown as NatOptions), { message });
  }
});

test('natRewrite: one packet, without connections', () => {
  const bytes = out({ check: 'partial' });
  view.parse(bytes, 0, bytes.length, LINKTYPE.ETHERNET);
  const to = { source: { address: PUBLIC, port: 1 }, destination: { address: '203.0.113.5', port: 2 } };
  assert.equal(natRewrite(view, { ...to, partial: true }), true);
  const expected: Fields = { source: PUBLIC_BYTES, destination: [203, 0, 113, 5], sourcePort: 1, destinationPort: 2 };
  assert.deepEqual(bytes, packet({ ...expected, check: 'partial' }));
  finishChecksum(view);
  assert.deepEqual(bytes, packet(expected));
  assert.equal(natRewrite(view, { source: { port: 9 }, partial: false }), true);
  assert.deepEqual(bytes, packet({ ...expected, sourcePort: 9 }));
  const again = out({ check: 'partial' });
  view.parse(again, 0, again.length, LINKTYPE.ETHERNET);
  natRewrite(view, { ...to, partial: true, finish: true });
  assert.deepEqual(again, packet(expected));
  assert.throws(() => natRewrite(view, { source: { address: '::1' } }), RangeError);
  assert.throws(() => natRewrite(view, { source: { port: 65536 } }), RangeError);
  const gre = out({ protocol: 47 });
  view.parse(gre, 0, gre.length, LINKTYPE.ETHERNET);
  assert.equal(natRewrite(view, to), false);
});
