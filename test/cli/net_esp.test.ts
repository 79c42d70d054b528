import assert from 'node:assert/strict';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FileSink } from '#dist/net/capture/file.js';
import { PcapWriter } from '#dist/net/capture/writer.js';
import { LINKTYPE } from '#dist/net/index.js';
import { hex, ipPacket } from '../net/esp/packets.js';
import { scratchFolder } from '../scratch.js';
import { fileOf, runInside, runJsonInside, runShell } from './run.js';

const folder = scratchFolder();
const path = (name: string) => join(folder, name);

const GCM = { algorithm: 'aes-gcm', key: '0x000102030405060708090a0b0c0d0e0f', salt: 'a0a1a2a3' };
const CBC = {
  algorithm: 'aes-cbc-hmac-sha256',
  key: '000102030405060708090a0b0c0d0e0f',
  authKey: '404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f',
};

/** The two ends' files. */
function tunnel(keys: object = GCM, more: object = {}): [here: string, there: string] {
  const sa = { spi: '0x1000', ...keys };
  const files = [
    { local: '192.0.2.1', remote: '192.0.2.2', outbound: sa, ...more },
    { local: '192.0.2.2', remote: '192.0.2.1', inbound: sa, ...more },
  ].map((config) => {
    const file = fileOf(JSON.stringify(config));
    chmodSync(file, 0o600);
    return file;
  });
  return files as [string, string];
}

const ETHERNET = hex('00163e000002 feffffffffff 0800');

async function capture(name: string, linkType: number, packets: readonly Uint8Array[]): Promise<string> {
  await using sink = await FileSink.create(path(name));
  const writer = new PcapWriter(sink, linkType);
  for (const [i, packet] of packets.entries()) await writer.write(packet, 1_700_000_000 + i, i);
  await writer.flush();
  await sink.commit();
  return path(name);
}

const frame = (packet: Uint8Array) =>
  Uint8Array.from([
    ...ETHERNET.subarray(0, 12),
    ...((packet[0] as number) >> 4 === 4 ? [8, 0] : [0x86, 0xdd]),
    ...packet,
  ]);

const PACKETS = [
  ipPacket(),
  ipPacket({ partial: true }),
  ipPacket({ version: 6, protocol: 6, partial: true }),
  ipPacket({ protocol: 47 }),
];
const COMPLETE = [ipPacket(), ipPacket(), ipPacket({ version: 6, protocol: 6 }), ipPacket({ protocol: 47 })];

for (const [label, keys] of [
  ['AES-GCM', GCM],
  ['AES-CBC', CBC],
] as const) {
  test(`net esp encap, decap: ${label}: what comes out has its checksums, its headers and its times`, async () => {
    const input = await capture('in.pcap', LINKTYPE.ETHERNET, [
      ...PACKETS.map(frame),
      hex(`${'ff'.repeat(12)}0806${'00'.repeat(28)}`),
    ]);
    const [here, there] = tunnel(keys);
    const sealed = path('sealed.pcap');
    const { code, json } = await runJsonInside(['net', 'esp', 'encap', input, sealed, '--config', here]);
    const {
      refused,
      crypto: _,
      encapsulatedBytes: __,
      ...counts
    } = json as { refused: object; crypto: string; encapsulatedBytes: number };
    assert.deepEqual(
      [code, counts],
      [0, { packets: 5, encapsulated: 4, finished: 2, oversize: 0, notIp: 1, sequence: '4' }],
    );
    assert.deepEqual(Object.values(refused).filter(Boolean), []);
    const opened = path('opened.pcap');
    const back = await runInside(['net', 'esp', 'decap', sealed, opened, '--config', there]);
    assert.deepEqual([back.code, back.stdout], [0, 'decapsulated  4 of 4 packets, the highest sequence number is 4\n']);
    const expected = await capture('expected.pcap', LINKTYPE.ETHERNET, COMPLETE.map(frame));
    assert.deepEqual(readFileSync(opened), readFileSync(expected));
  });
}

test('net esp: packets without Ethernet headers; pcap on standard input and output', async () => {
  const input = await capture('raw.pcap', LINKTYPE.RAW, PACKETS);
  const [here, there] = tunnel(GCM, { natT: {} });
  const { code, stdout, stderr } = await runShell(
    'bash',
    `set -o pipefail; "$NODE" "$XENCTRL" net esp encap - - --config ${here} < ${input} |
      "$NODE" "$XENCTRL" net esp decap - ${path('piped.pcap')} --config ${there}`,
  );
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^decapsulated {2}4 of 4 packets/);
  assert.match(stderr, /^encapsulated {2}4 of 4 packets/);
  const expected = await capture('expected-raw.pcap', LINKTYPE.RAW, COMPLETE);
  assert.deepEqual(readFileSync(path('piped.pcap')), readFileSync(expected));
  const both = await runInside(['net', 'esp', 'encap', input, '-', '--config', here, '--json']);
  assert.equal(both.code, 2);
});

test('net esp: what is left out is counted by reason, and the exit code says so', async () => {
  const input = await capture('long.pcap', LINKTYPE.RAW, [...PACKETS, ipPacket({ data: new Uint8Array(2000) })]);
  const [here, there] = tunnel(GCM);
  const sealed = path('sealed-twice.pcap');
  const { code, stdout } = await runInside(['net', 'esp', 'encap', input, sealed, '--config', here]);
  assert.equal(code, 1);
  assert.match(stdout, /^encapsulated {2}4 of 5 packets, the last with sequence number 4$/m);
  assert.match(stdout, /^left out {2}EMSGSIZE 1$/m);

  const bytes = readFileSync(sealed);
  const twice = path('twice.pcap');
  writeFileSync(twice, Buffer.concat([bytes, bytes.subarray(24)]));
  const replayed = await runJsonInside(['net', 'esp', 'decap', twice, path('once.pcap'), '--config', there]);
  const { decapsulated, dropped } = replayed.json as { decapsulated: number; dropped: Record<string, number> };
  assert.deepEqual([replayed.code, decapsulated, dropped['replayed']], [1, 4, 4]);

  const [, wrong] = tunnel({ ...GCM, salt: '00000000' });
  const { code: bad, stdout: told } = await runInside([
    'net',
    'esp',
    'decap',
    sealed,
    path('none.pcap'),
    '--config',
    wrong,
  ]);
  assert.equal(bad, 1);
  assert.match(told, /^dropped {2}bad-icv 4$/m);
});

test('net esp encap: what Xen did in July 2005', async () => {
  const input = await capture('2005.pcap', LINKTYPE.RAW, PACKETS);
  const [dropping] = tunnel(GCM, { historic: '2005-07' });
  const { code, stdout } = await runInside(['net', 'esp', 'encap', input, path('2005-out.pcap'), '--config', dropping]);
  assert.equal(code, 1);
  assert.match(stdout, /^left out {2}ENOMEM 2$/m);
  const [letThrough, there] = tunnel(GCM, { historic: '2005-07-let-through' });
  assert.equal((await runInside(['net', 'esp', 'encap', input, path('t.pcap'), '--config', letThrough])).code, 0);
  assert.equal((await runInside(['net', 'esp', 'decap', path('t.pcap'), path('u.pcap'), '--config', there])).code, 0);
  const expected = await capture('partial.pcap', LINKTYPE.RAW, PACKETS);
  assert.deepEqual(
    readFileSync(path('u.pcap')),
    readFileSync(expected),
    'the other end gets them as the guest left them',
  );
});

test('net esp: a wrong file says what is wrong where, and never a key', async () => {
  const sa = { spi: 4096, ...GCM };
  const good = { local: '192.0.2.1', remote: '192.0.2.2', outbound: sa };
  const without = (name: string) => Object.fromEntries(Object.entries(sa).filter(([key]) => key !== name));
  const cases: readonly (readonly [unknown, RegExp])[] = [
    ['{"key": "00010203', /this is no JSON/],
    [[], /this is no object of settings/],
    [{ ...good, lokal: 1 }, /lokal is no setting; there are: local, remote/],
    [{ ...good, local: undefined }, /local is missing/],
    [{ ...good, local: 'here' }, /two IPv4 or two IPv6 addresses/],
    [{ ...good, outbound: undefined }, /outbound is missing/],
    [{ ...good, outbound: 1 }, /outbound must be an object of settings/],
    [{ ...good, outbound: { ...sa, spi: 1 } }, /outbound.spi must be 256 to 4294967295/],
    [{ ...good, outbound: { ...sa, spi: 'x' } }, /outbound.spi must be a whole number/],
    [{ ...good, outbound: { ...sa, spi: '0x1ffffffff' } }, /outbound.spi must be at most/],
    [{ ...good, outbound: { ...sa, algorithm: 'des' } }, /outbound.algorithm must be one of aes-gcm, aes-cbc/],
    [{ ...good, outbound: without('key') }, /outbound.key is missing/],
    [{ ...good, outbound: without('salt') }, /outbound.salt is missing/],
    [{ ...good, outbound: { ...sa, key: 'c0ffee' } }, /outbound: key must have 16, 24 or 32 bytes, not 3/],
    [
      { ...good, outbound: { ...without('salt'), key: `${GCM.key}a0a1a2a3` } },
      /outbound.key has 20 bytes: give the last 4.* as outbound.salt/,
    ],
    [{ ...good, outbound: { ...sa, key: 'secret' } }, /outbound.key must be bytes in hexadecimal/],
    [{ ...good, outbound: { ...sa, authKey: '00' } }, /outbound.authKey is not for aes-gcm/],
    [{ ...good, outbound: { ...sa, replayWindow: 64 } }, /outbound.replayWindow is no setting/],
    [{ ...good, outbound: { ...sa, esn: 1 } }, /outbound.esn must be true or false/],
    [{ ...good, outbound: { ...sa, sequence: '4294967296' } }, /sequence must be a number of 32 bits/],
    [{ ...good, df: 'no' }, /df must be one of copy, set, clear/],
    [{ ...good, natT: { port: 1 } }, /natT.port is no setting/],
    [{ ...good, selectors: { local: '10.0.0.0/8' } }, /selectors.local must be a list of networks/],
    [{ ...good, selectors: { local: ['10.0.0.0/40'] } }, /'10.0.0.0\/40' is no network/],
  ];
  for (const [config, message] of cases) {
    const file = fileOf(typeof config === 'string' ? config : JSON.stringify(config));
    const { code, stdout, stderr } = await runInside(['net', 'esp', 'encap', '/dev/null', path('x'), '--config', file]);
    assert.deepEqual([code, stdout], [2, ''], stderr);
    assert.match(stderr, message);
    assert.ok(stderr.includes(file));
    assert.ok(!/secret|c0ffee|00010203/i.test(stderr), stderr);
  }
});

test('net esp: files that are missing, cannot be written, or are no captures', async () => {
  const [here] = tunnel();
  const input = await capture('some.pcap', LINKTYPE.RAW, PACKETS);
  const say = async (...words: readonly string[]) => {
    const { code, stderr } = await runInside(['net', 'esp', 'encap', ...words]);
    return `${code} ${stderr}`;
  };
  assert.match(await say(input, path('x')), /^2 .*--config FILE is missing/s);
  assert.match(await say(input, path('x'), '--config', path('none')), /^2 .*none cannot be read: ENOENT/s);
  assert.match(await say(path('none'), path('x'), '--config', here), /^2 .*none cannot be read: ENOENT/s);
  assert.match(await say(input, path('no/x'), '--config', here), /^2 .*no\/x cannot be written: ENOENT/s);
  assert.match(await say(here, path('x'), '--config', here), /^1 .*this is no capture/s);
  assert.throws(() => statSync(path('x')), 'a failed run leaves no file');
  chmodSync(here, 0o644);
  assert.match(await say(input, path('x'), '--config', here), /^0 .*can be read by others, and has keys: chmod 600/s);
});
