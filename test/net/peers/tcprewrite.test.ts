/**
 * tcprewrite as a second opinion on a million packets: `npm run test:net`, or by name. It writes 0 where a UDP checksum
 * comes out as 0, which says that there is none: RFC 768 has 0xffff sent, and so have we.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FileSource, PacketView, readPackets } from '#dist/net/index.js';
import { BIN } from '../../cli/run.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..');
const PACKETS = Number(process.env['XENCTRL_PEER_PACKETS'] ?? 1_000_000);
const FLOWS = 4096;
const WORST_UDP_ZERO = 200;

const lacking = (command: string): boolean => spawnSync(command, ['--version']).error !== undefined;
const skip = lacking('tcprewrite')
  ? 'tcprewrite is not installed (Debian: apt install tcpreplay)'
  : lacking('cc')
    ? 'no C compiler (cc)'
    : false;

interface Difference {
  readonly udp: boolean;
  readonly ours: number;
  readonly theirs: number;
}

/** Packets that differ, which they may in their checksum only. */
async function compareCaptures(ours: string, theirs: string): Promise<{ packets: number; differences: Difference[] }> {
  await using one = await FileSource.open(ours);
  await using other = await FileSource.open(theirs);
  const view = new PacketView();
  const rest = readPackets(other);
  const differences: Difference[] = [];
  let packets = 0;
  for await (const mine of readPackets(one)) {
    const { value: its } = await rest.next();
    assert.ok(its, `tcprewrite has fewer than ${packets + 1} packets`);
    packets++;
    const a = Buffer.from(mine.bytes.buffer, mine.bytes.byteOffset + mine.offset, mine.length);
    const b = Buffer.from(its.bytes.buffer, its.bytes.byteOffset + its.offset, its.length);
    if (a.equals(b)) continue;
    assert.equal(view.parse(a, 0, a.length, mine.linkType), 'ok');
    const { checkAt, protocol } = view;
    differences.push({ udp: protocol === 17, ours: a.readUInt16BE(checkAt), theirs: b.readUInt16BE(checkAt) });
    const same = Buffer.from(a);
    b.copy(same, checkAt, checkAt, checkAt + 2);
    assert.deepEqual(same, b, `packet ${packets} differs in more than its checksum`);
  }
  assert.equal((await rest.next()).done, true);
  return { packets, differences };
}

test(`tcprewrite: the same addresses and checksums on ${PACKETS} packets, but for its UDP 0`, { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenctrl-tcprewrite-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = (name: string): string => join(folder, name);
  const program = path('net');
  mkdirSync(folder, { recursive: true });
  execFileSync('cc', ['-std=gnu11', '-O2', join(ROOT, 'bench', 'children', 'net.c'), '-o', program]);
  execFileSync(program, ['gen', path('in.pcap'), String(PACKETS), String(FLOWS)]);

  // first the checksums alone
  execFileSync(process.execPath, [BIN, 'net', 'fix', path('in.pcap'), path('ours.pcap')]);
  execFileSync('tcprewrite', ['--fixcsum', '-i', path('in.pcap'), '-o', path('theirs.pcap')]);
  const fixed = await compareCaptures(path('ours.pcap'), path('theirs.pcap'));
  assert.equal(fixed.packets, PACKETS);
  const zeros = fixed.differences.filter(({ ours, theirs }) => ours === 0xffff && theirs === 0);
  assert.deepEqual(fixed.differences, zeros, 'differences are the two zeros of one complement only');
  assert.ok(zeros.length < WORST_UDP_ZERO);
  t.diagnostic(
    `fix: ${zeros.filter(({ udp }) => udp).length} UDP and ${zeros.filter(({ udp }) => !udp).length} TCP packets with ffff for its 0`,
  );

  // then addresses; ports are kept, for tcprewrite knows no connections
  const ends = ['--snat', '192.0.2.1', '--net', '10.0.0.0/8'];
  execFileSync(process.execPath, [BIN, 'net', 'nat', path('in.pcap'), path('ours.pcap'), ...ends]);
  execFileSync('tcprewrite', [
    '--fixcsum',
    '--srcipmap=10.0.0.0/8:192.0.2.1/32',
    '-i',
    path('in.pcap'),
    '-o',
    path('theirs.pcap'),
  ]);
  const translated = await compareCaptures(path('ours.pcap'), path('theirs.pcap'));
  const other = translated.differences.filter(({ ours, theirs }) => ours !== 0xffff || theirs !== 0);
  assert.deepEqual(other, []);
  assert.equal(readFileSync(path('ours.pcap')).length, readFileSync(path('theirs.pcap')).length);
});
