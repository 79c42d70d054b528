/** `xenctrl mem` on the model and on saved memory. */

import assert from 'node:assert/strict';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { demoProfile } from '#dist/cli/mem/demo.js';
import { scratchFolder } from '../scratch.js';
import { run, runInside, runJson, runJsonInside } from './run.js';

const folder = scratchFolder();
const BANNER = '0xffffffff9b100100';

test('mem read: hexadecimal and text; repeated rows once', async () => {
  const { code, stdout, stderr } = await run(['mem', 'read', 'demo', BANNER, '20', '--demo']);
  assert.equal(code, 0, stderr);
  assert.equal(
    stdout.split('\n').slice(0, 2).join('\n'),
    'ffffffff9b100100  4c 69 6e 75 78 20 76 65  72 73 69 6f 6e 20 36 2e  |Linux version 6.|\n' +
      'ffffffff9b100110  31 2e 30 2d                                       |1.0-|',
  );
  const zeroes = await runInside(['mem', 'read', '1', '0', '0x40', '--physical', '--demo']);
  const row = (at: string): string => `${at}  ${'00 '.repeat(8)} ${'00 '.repeat(8)} |${'.'.repeat(16)}|`;
  assert.deepEqual(zeroes.stdout.split('\n').slice(0, 3), [row('0'.repeat(16)), '*', row('0000000000000030')]);
});

test('mem read: colours where they are wanted, and not with NO_COLOR', async () => {
  const args = ['mem', 'read', 'demo', BANNER, '16', '--demo'];
  const coloured = await run(args, { env: { FORCE_COLOR: '1' } });
  assert.ok(coloured.stdout.includes('\u001b['));
  assert.ok(!(await run(args, { env: { NO_COLOR: '1' } })).stdout.includes('\u001b['));
});

test('mem read --json, --out', async () => {
  const { json } = await runJson(['mem', 'read', '1', BANNER, '5', '--demo']);
  assert.deepEqual(json, { domid: 1, address: BANNER, length: 5, missing: null, bytes: '4c696e7578' });
  const out = join(folder, 'banner');
  const { code, stdout } = await runInside(['mem', 'read', '1', BANNER, '5', '--demo', '--out', out]);
  assert.equal(code, 0);
  assert.match(stdout, /^done {2}5 bytes are in /);
  assert.equal(readFileSync(out, 'utf8'), 'Linux');
});

test('mem read: memory that ends, and memory that is not there', async () => {
  const part = await runJsonInside(['mem', 'read', '1', '0x1fffff8', '16', '--physical', '--demo']);
  assert.equal(part.code, 1);
  const { length, missing, bytes } = part.json as Record<string, unknown>;
  assert.deepEqual([length, bytes], [8, '0'.repeat(16)]);
  assert.match(String(missing), /^0x2000000: the guest has no memory there/);
  const none = await runInside(['mem', 'read', '1', '0x1234', '--demo']);
  assert.equal(none.code, 1);
  assert.equal(none.stdout, '');
  assert.match(none.stderr, /^xenctrl: 0x1234: not mapped: the page table entry of level 4 is not present\n$/);
});

test('mem write: bytes, and what is refused', async () => {
  const { json } = await runJsonInside(['mem', 'write', '1', BANNER, '41 42:43', '--demo']);
  assert.deepEqual(json, { domid: 1, address: BANNER, length: 3 });
  const refused = async (args: string[], code: number, message: RegExp): Promise<void> => {
    const finished = await runInside(['mem', 'write', ...args]);
    assert.equal(finished.code, code);
    assert.match(finished.stderr, message);
  };
  await refused(['1', BANNER, '4', '--demo'], 2, /pairs of hexadecimal digits/);
  await refused(['0', '0x10', '41', '--demo'], 1, /domain 0 is dom0/);
  const file = join(folder, 'raw');
  writeFileSync(file, new Uint8Array(4096));
  await refused([`file:${file}`, '0x10', '41'], 1, /a file is not changed/);
});

test('mem translate: each level, and why not', async () => {
  const { stdout, code } = await run(['mem', 'translate', '1', '0xffffffff9b202940', '--demo']);
  assert.equal(code, 0);
  assert.match(
    stdout,
    /^CR3 0x1800000, 4-level\n +AT +ENTRY\nPML4E .*\nPDPTE .*\nPDE +[0-9a-f]{16} {2}00000000018001e3\n/,
  );
  assert.match(stdout, /\nmapped {2}0xffffffff9b202940 is 0x1802940, in a page of 2 MiB: writable, executable, superv/);
  const { json } = await runJson(['mem', 'translate', '1', '0xffff888000201a80', '--demo', '--vcpu', '1']);
  const { mapped, address, pageSize, executable, cr3, steps } = json as Record<string, unknown>;
  assert.deepEqual([mapped, address, pageSize, executable, cr3], [true, '0x201a80', 2 ** 21, false, '0x1800000']);
  assert.equal((steps as unknown[]).length, 3);
  const none = await runInside(['mem', 'translate', '1', '0x800000000000', '--demo']);
  assert.equal(none.code, 1);
  assert.match(none.stdout, /0x800000000000: no address in this paging mode/);
  const process = await runInside(['mem', 'translate', '1', '0x400000', '--demo', '--cr3', '0x104000']);
  assert.match(process.stdout, /mapped {2}0x400000 is 0x401000, in a page of 4 KiB: writable, executable, user/);
});

test('mem search: bytes, text, ranges, limits', async () => {
  const hits = async (...args: string[]): Promise<unknown[]> => {
    const { json, code } = await runJsonInside(['mem', 'search', '1', ...args, '--demo']);
    assert.equal(code, 0);
    const { hits: found, more } = json as { hits: { address: string }[]; more: boolean };
    return [...found.map(({ address }) => address), ...(more ? ['more'] : [])];
  };
  assert.deepEqual(await hits('Linux version', '--text', '--physical'), ['0x1700100']);
  assert.deepEqual(await hits('4c 69 6e 75 ?? 2?', '--physical'), ['0x1700100']);
  assert.deepEqual(await hits('Linux version', '--text', '--start', '0xffffffff80000000'), [BANNER]);
  assert.deepEqual(await hits('Linux version', '--text', '--physical', '--length', '1M'), []);
  assert.deepEqual(await hits('nginx', '--text', '--physical', '--limit', '1'), ['0x2084d0', 'more']);
  assert.deepEqual(await hits('Linux', '--utf16', '--physical'), []);
  const { stdout } = await runInside(['mem', 'search', '1', 'zzzz', '--text', '--physical', '--demo']);
  assert.match(stdout, /^nothing found\n/);
});

test('mem dump, and the other commands on what was saved', async () => {
  const out = join(folder, 'demo.lime');
  const profile = join(folder, 'demo.json.gz');
  writeFileSync(profile, gzipSync(demoProfile()));
  const dumped = await runJson(['mem', 'dump', 'demo', '--demo', '--out', out, '--pause']);
  assert.deepEqual(dumped.json, { domid: 1, out, format: 'lime', pages: 8192, bytes: 8192 * 4096 });
  const read = await runJsonInside(['mem', 'read', `file:${out}`, '0x1700100', '5']);
  assert.deepEqual(read.json, { file: out, address: '0x1700100', length: 5, missing: null, bytes: '4c696e7578' });
  const walked = await runInside(['mem', 'translate', `file:${out}`, BANNER, '--cr3', '0x1800000']);
  assert.match(walked.stdout, /is 0x1700100/);
  const found = await runInside(['mem', 'search', `file:${out}`, 'systemd', '--text']);
  assert.match(found.stdout, /\n2 found\n/);
  const live = await runJsonInside(['mem', 'processes', 'demo', '--demo']);
  const saved = await runJsonInside(['mem', 'processes', `file:${out}`, '--profile', profile]);
  const listed = live.json as { processes: { name: string }[] };
  assert.deepEqual((saved.json as typeof listed).processes, listed.processes);
  assert.deepEqual(
    listed.processes.map(({ name }) => name),
    ['swapper/0', 'systemd', 'kthreadd', 'rcu_gp', 'sshd', 'nginx', 'bash'],
  );
  const raw = join(folder, 'low.raw');
  const part = ['--format', 'raw', '--start', '0x1700000', '--length', '8K'];
  const low = await runJsonInside(['mem', 'dump', '1', '--demo', '--out', raw, ...part]);
  assert.equal((low.json as { pages: number }).pages, 2);
  assert.equal(readFileSync(raw).subarray(0x100, 0x105).toString(), 'Linux');
});

test('mem processes: a table', async () => {
  const { stdout } = await run(['mem', 'processes', '1', '--demo']);
  assert.match(
    stdout,
    /^Linux version 6\.1\.0-sample .*\n +PID +PPID +UID +NAME +CR3\n +0 +0 +0 {2}swapper\/0 +kernel\n/,
  );
  assert.match(stdout, /\n1204 +412 +1000 {2}bash +0x[0-9a-f]+000\n/);
});

test('mem: what is wrong with a command line, and what to do', async () => {
  const empty = join(folder, 'zeroes');
  writeFileSync(empty, new Uint8Array(8192));
  const profile = join(folder, 'profile.json');
  writeFileSync(profile, demoProfile());
  const lime = join(folder, 'broken');
  writeFileSync(lime, 'EMiL');
  const rows: readonly (readonly [line: string, code: number, message: RegExp])[] = [
    ['read 1 zero --demo', 2, /ADDRESS must be an address such as/],
    ['read 1 0x10000000000000000 --demo', 2, /ADDRESS must be/],
    ['read 1 0 4Q --demo', 2, /LENGTH must be a number/],
    ['read 1 0 1G --demo', 2, /LENGTH is at most 1048576 without --out/],
    ['read 1 0 --physical --cr3 0x1000 --demo', 2, /one of --physical and --cr3/],
    ['read 1 0 --mode pae --demo', 2, /--mode goes with --cr3/],
    ['read 1 0 --demo --release 4.20', 2, /does not go with --release/],
    ['read 1 0 --vcpu 9 --demo', 1, /ENOENT/],
    ['read 9 0 --demo', 1, /there is no domain 9/],
    ['read file: 0', 2, /needs a path/],
    ['read file:/nowhere/at/all 0', 1, /cannot be opened: ENOENT/],
    [`read file:${empty} 0 --vcpu 0`, 2, /a file has no vCPUs/],
    [`read file:${lime} 0`, 1, /no LiME header/],
    [`translate file:${empty} 0`, 2, /a file needs --cr3/],
    ['search 1 4x --demo', 2, /'x' is no hexadecimal digit/],
    ['search 1 41 --text --utf16 --demo', 2, /one of --text and --utf16/],
    ['dump 1 --demo', 2, /--out FILE is missing/],
    ['dump 1 --demo --out /nowhere/at/all', 1, /\/nowhere\/at\/all cannot be opened: ENOENT/],
    ['dump 1 --demo --out x --start 5', 2, /multiple of 4096/],
    ['processes 1 --backend model', 2, /--profile FILE is missing\n {2}docs\/vmi\.md/],
    ['processes 1 --backend model --profile /nowhere', 1, /cannot be opened: ENOENT/],
    [`processes 1 --backend model --profile ${empty}`, 1, /no JSON\n {2}docs\/vmi\.md/],
    [`processes file:${empty} --profile ${profile}`, 1, /no Linux kernel was found/],
  ];
  for (const [line, code, message] of rows) {
    const finished = await runInside(['mem', ...line.split(' ')]);
    assert.equal(finished.code, code, `${line}: ${finished.stderr}`);
    assert.match(finished.stderr, message, line);
    assert.equal(finished.stdout, '', line);
  }
});

test('mem search: Ctrl-C ends it', async () => {
  const big = join(folder, 'big');
  writeFileSync(big, new Uint8Array(2 ** 20).fill(0x41));
  truncateSync(big, 64 * 2 ** 30);
  const { signal, stderr } = await run(['mem', 'search', `file:${big}`, 'zz', '--text'], {
    interrupt: { after: 1500, signal: 'SIGINT' },
  });
  assert.equal(signal, 'SIGINT');
  assert.match(stderr, /^xenctrl: search was stopped after \d+ of 16777216\n$/);
});
