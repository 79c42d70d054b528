import assert from 'node:assert/strict';
import { existsSync, linkSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { block, description, joined, packetBlock, pcap, section } from '../net/capture/files.js';
import { asFragment, packet } from '../net/packets.js';
import { scratchFolder } from '../scratch.js';
import { run, runInside, runJsonInside, runShell } from './run.js';

const folder = scratchFolder();
const path = (name: string): string => join(folder, name);

function file(name: string, bytes: Uint8Array): string {
  writeFileSync(path(name), bytes);
  return path(name);
}

const PACKETS = [
  packet(),
  packet({ check: 'partial' }),
  packet({ protocol: 17, check: 'partial' }),
  packet({ check: 'wrong' }),
  packet({ protocol: 17, check: 'zero' }),
  asFragment(packet(), 1480, false),
  packet({ protocol: 132, payload: new Uint8Array(30) }),
  packet().subarray(0, 40),
];
const FIXED = PACKETS.with(1, packet()).with(2, packet({ protocol: 17 }));
const mixed = (packets = PACKETS): Uint8Array =>
  pcap(packets.map((bytes, i) => ({ bytes, time: 1_700_000_000_000_000_000n + BigInt(i) * 1_000_000n })));
const COUNTS = { packets: 8, good: 1, partial: 2, corrupt: 1, none: 2, other: 2 };

test('net classify --json: the counts and nothing else', async () => {
  const { code, json, stderr } = await runJsonInside(['net', 'classify', file('mixed.pcap', mixed())]);
  assert.deepEqual([code, json, stderr], [0, COUNTS, '']);
});

test('net classify --json --flows --reasons: the flows with most trouble first, and why some were not looked at', async () => {
  const args = ['net', 'classify', file('mixed.pcap', mixed()), '--flows', '--reasons'];
  const { json } = await runJsonInside(args);
  const { flows, reasons, ...counts } = json as { flows: { packets: number; source: string }[]; reasons: unknown };
  assert.deepEqual([counts, reasons], [COUNTS, { 'ipv4-length': 1 }]);
  const [first] = flows;
  assert.deepEqual(first, {
    protocol: 6,
    source: '10.0.1.2:40000',
    destination: '192.0.2.9:443',
    packets: 3,
    checksums: { good: 1, partial: 1, corrupt: 1, none: 0, other: 0 },
  });
});

test('net classify: a table for people', async () => {
  const { code, stdout } = await runInside(['net', 'classify', file('mixed.pcap', mixed())]);
  assert.equal(code, 0);
  assert.match(stdout, /^packets {2}8$/m);
  assert.match(stdout, /^partial +2 {2}left to a device/m);
  assert.match(stdout, /^not looked at {2}ipv4-length 1$/m);
  assert.match(stdout, /^tcp {5}10\.0\.1\.2:40000 {2}> 192\.0\.2\.9:443 +3 +1 +1 +1 +0$/m);
});

test('net classify: a picture of when packets were bad', async () => {
  const svg = path('when.svg');
  const { stdout } = await runInside(['net', 'classify', file('mixed.pcap', mixed()), '--svg', svg]);
  assert.match(stdout, /drawn into .*when\.svg/);
  const text = readFileSync(svg, 'utf8');
  assert.match(text, /^<svg xmlns/);
  assert.match(text, /<path class="corrupt" d="M[\d.]+ [\d.]+h/);
  assert.match(text, /2023-11-14T22:13:20/);
  assert.doesNotMatch(text, /NaN|undefined/);
});

test('net classify: standard input; pcapng; a file that ends in the middle of a packet', async () => {
  const input = file('cut.pcap', mixed().subarray(0, mixed().length - 5));
  const { stdout, stderr, code } = await runShell('bash', `"$NODE" "$XENCTRL" net classify - --json < ${input}`);
  assert.equal(code, 0);
  assert.equal((JSON.parse(stdout) as { packets: number }).packets, 7);
  assert.match(stderr, /the standard input ends in the middle of a packet, 51 bytes/);
  const ng = joined(section(), description(1), ...PACKETS.map((one) => packetBlock(0, 5n, one)));
  assert.deepEqual((await runJsonInside(['net', 'classify', file('mixed.pcapng', ng)])).json, COUNTS);
});

test('net fix: partial checksums are completed, and not a byte else changes', async () => {
  const out = path('fixed.pcap');
  const { code, json } = await runJsonInside(['net', 'fix', file('mixed.pcap', mixed()), out]);
  assert.deepEqual([code, json], [0, { ...COUNTS, fixed: 2 }]);
  assert.deepEqual(new Uint8Array(readFileSync(out)), mixed(FIXED));
  const again = await runJsonInside(['net', 'fix', out, path('again.pcap')]);
  assert.equal((again.json as { fixed: number }).fixed, 0);
  assert.deepEqual(readFileSync(path('again.pcap')), readFileSync(out));
});

test('net fix: pcapng of both byte orders, with blocks that nobody understands, and a cut end', async () => {
  const capture = (packets: readonly Uint8Array[]): Uint8Array =>
    joined(
      ...[true, false].flatMap((little) => [
        section({ little }),
        block(0x0bad, [1, 2, 3], { little }),
        description(1, { resolution: 9 }, { little }),
        ...packets.map((one, i) => packetBlock(0, BigInt(i) << 33n, one, { little })),
      ]),
      Uint8Array.of(6, 0, 0, 0, 99),
    );
  const out = path('fixed.pcapng');
  const { code, json, stderr } = await runJsonInside(['net', 'fix', file('in.pcapng', capture(PACKETS)), out]);
  assert.deepEqual([code, (json as { fixed: number }).fixed], [0, 4]);
  assert.match(stderr, /ends in the middle of a packet, 5 bytes that are left as they are/);
  assert.deepEqual(new Uint8Array(readFileSync(out)), capture(FIXED));
});

test('net fix: through a pipe, the result is on stderr', async () => {
  const input = file('mixed.pcap', mixed());
  const { stderr } = await runShell('bash', `"$NODE" "$XENCTRL" net fix - - < ${input} > ${path('piped.pcap')}`);
  assert.match(stderr, /^completed {2}2 of 8 packets$/m);
  assert.deepEqual(new Uint8Array(readFileSync(path('piped.pcap'))), mixed(FIXED));
});

const NAT = ['--snat', '198.51.100.1', '--net', '10.0.0.0/8'];

test('net nat: addresses change, checksums hold, answers find their way', async () => {
  const PUBLIC = [198, 51, 100, 1];
  const server = [192, 0, 2, 9];
  const answer = { sourcePort: 443, destinationPort: 40000, source: server };
  const before = pcap([{ bytes: packet({ check: 'partial' }) }, { bytes: packet({ ...answer, destination: PUBLIC }) }]);
  const after = pcap([
    { bytes: packet({ source: PUBLIC }) },
    { bytes: packet({ ...answer, destination: [10, 0, 1, 2] }) },
  ]);
  const { code, json } = await runJsonInside(['net', 'nat', file('n.pcap', before), path('n-out.pcap'), ...NAT]);
  const result = { packets: 2, translated: 2, fixed: 1, untouched: 0, failed: {}, connections: 1 };
  assert.deepEqual([code, json], [0, result]);
  assert.deepEqual(new Uint8Array(readFileSync(path('n-out.pcap'))), after);
});

test('net nat: what could not be translated is counted, stays, and makes the exit code 1', async () => {
  const capture = pcap([1, 2].map((host) => ({ bytes: packet({ source: [10, 0, 0, host] }) })));
  const args = [
    'net',
    'nat',
    file('n.pcap', capture),
    path('n-out.pcap'),
    '--snat',
    '198.51.100.1:7-7',
    '--net',
    '10.0.0.0/8',
  ];
  const { code, stdout } = await runInside(args);
  assert.equal(code, 1);
  assert.match(stdout, /^translated {2}1 of 2 packets, 1 connections\n.*\nno-port {2}1, left as they are$/m);
});

test('net nat: the same seed gives the same ports, and IPv6 has its own way of being written', async () => {
  const capture = pcap([1, 2, 3].map((host) => ({ bytes: packet({ source: [10, 0, 0, host] }) })));
  const input = file('n.pcap', capture);
  for (const name of ['a', 'b']) await runInside(['net', 'nat', input, path(name), ...NAT, '--seed', '5']);
  assert.deepEqual(readFileSync(path('a')), readFileSync(path('b')));
  const six = file('six.pcap', pcap([{ bytes: packet({ version: 6 }) }]));
  for (const to of ['2001:db8:1::1', '[2001:db8:1::1]:5-9']) {
    const { json } = await runJsonInside([
      'net',
      'nat',
      six,
      path('six-out.pcap'),
      '--snat',
      to,
      '--net',
      '2001:db8::/48',
    ]);
    assert.equal((json as { translated: number }).translated, 1, to);
  }
});

test('net nat --historic: what Xen did on 2005-10-14', async () => {
  const capture = pcap([1, 2].map((host) => ({ bytes: packet({ source: [10, 0, 0, host], check: 'partial' }) })));
  const out = path('historic.pcap');
  await runInside(['net', 'nat', file('n.pcap', capture), out, ...NAT, '--historic', '2005-10-14']);
  const { json } = await runJsonInside(['net', 'classify', out]);
  assert.deepEqual(json, { packets: 2, good: 1, partial: 0, corrupt: 1, none: 0, other: 0 });
});

const MISTAKES: readonly [name: string, args: () => readonly string[], code: number, stderr: RegExp][] = [
  ['no file', () => ['classify'], 2, /FILE is missing/],
  ['a file that is not there', () => ['classify', path('nothing')], 2, /nothing cannot be read: ENOENT/],
  [
    'text',
    () => ['classify', file('text', Buffer.from('no capture at all, is it?'))],
    1,
    /this is no capture: neither pcap nor pcapng/,
  ],
  ['gzip', () => ['classify', file('x.gz', Uint8Array.of(31, 139, ...new Array(30).fill(0)))], 1, /zcat FILE/],
  [
    'a damaged capture',
    () => ['fix', file('bad.pcap', joined(mixed(), new Uint8Array(16).fill(255))), path('o')],
    1,
    /4294967295 bytes: the file is damaged \(at byte \d+\)/,
  ],
  [
    'OUT in no folder',
    () => ['fix', file('m.pcap', mixed()), path('no/where')],
    2,
    /no\/where cannot be written: ENOENT/,
  ],
  [
    'OUT is IN',
    () => ['fix', file('m.pcap', mixed()), path('m.pcap')],
    2,
    /m\.pcap is IN as well.*\n.*name another file/,
  ],
  [
    'packets and JSON together',
    () => ['fix', file('m.pcap', mixed()), '-', '--json'],
    2,
    /cannot both go to the standard output/,
  ],
  ['no --snat', () => ['nat', 'a', 'b', '--net', '10.0.0.0/8'], 2, /--snat ADDRESS/],
  ['no --net', () => ['nat', 'a', 'b', '--snat', '192.0.2.1'], 2, /--net CIDR is missing/],
  [
    'no address',
    () => ['nat', 'a', 'b', '--snat', '300.0.2.1', '--net', '10.0.0.0/8'],
    2,
    /'300\.0\.2\.1' is no IP address/,
  ],
  [
    'ports the wrong way round',
    () => ['nat', 'a', 'b', '--snat', '192.0.2.1:9-3', '--net', '10.0.0.0/8'],
    2,
    /ports must be from 1 to 65535, not 9-3/,
  ],
  [
    'a network of 33 bits',
    () => ['nat', 'a', 'b', '--snat', '192.0.2.1', '--net', '10.0.0.0/33'],
    2,
    /--net: .*33 bits are too many/,
  ],
  ['both versions', () => ['nat', 'a', 'b', '--snat', '::1', '--net', '10.0.0.0/8'], 2, /IPv4 does not become IPv6/],
  ['a seed that is none', () => ['nat', 'a', 'b', ...NAT, '--seed', '-1x'], 2, /--seed/],
];

for (const [name, args, expected, message] of MISTAKES) {
  test(`mistake: ${name}`, async () => {
    const { code, stdout, stderr } = await runInside(['net', ...args()]);
    assert.match(stderr, message);
    assert.equal(code, expected);
    if (!args().includes('--json')) assert.equal(stdout, '');
  });
}

test('a failure leaves nothing of OUT behind, and what it was before stays', async () => {
  const out = file('kept.pcap', Uint8Array.of(1, 2, 3));
  const bad = file('bad.pcap', joined(mixed(), new Uint8Array(16).fill(255)));
  assert.equal((await runInside(['net', 'fix', bad, out])).code, 1);
  assert.deepEqual([...readFileSync(out)], [1, 2, 3]);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.includes('.part')),
    [],
  );
  const link = path('link.pcap');
  if (!existsSync(link)) linkSync(file('m.pcap', mixed()), link);
  assert.equal((await runInside(['net', 'fix', path('m.pcap'), link])).code, 2);
});

test('without the native addon the results are the same', async () => {
  const input = file('mixed.pcap', mixed());
  const env = { XENCTRL_ADDON: '/nonexistent.node' };
  const { stdout } = await run(['net', 'classify', input, '--json'], { env });
  assert.deepEqual(JSON.parse(stdout), COUNTS);
  await run(['net', 'fix', input, path('plain.pcap')], { env });
  assert.deepEqual(new Uint8Array(readFileSync(path('plain.pcap'))), mixed(FIXED));
  await run(['net', 'nat', input, path('plain-nat.pcap'), ...NAT], { env });
  await run(['net', 'nat', input, path('native-nat.pcap'), ...NAT]);
  assert.deepEqual(readFileSync(path('plain-nat.pcap')), readFileSync(path('native-nat.pcap')));
});
