/** `xenctrl monitor`, on the model. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { BIN, cleanEnvironment, type Finished, run, runInside, runJsonInside, runShell } from './run.js';

type Event = Readonly<Record<string, unknown>>;

function eventsOf({ stdout }: Finished): Event[] {
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Event);
}

test('monitor --demo --json --count N prints N events, one a line, and exits 0', async () => {
  const finished = await run(['monitor', '--demo', '--json', '--count', '200']);
  assert.equal(finished.code, 0, finished.stderr);
  const events = eventsOf(finished);
  assert.equal(events.length, 200);
  for (const event of events) {
    assert.equal(typeof event['reason'], 'string');
    for (const name of ['vcpu', 'domid', 'altp2mIdx']) assert.ok(Number.isInteger(event[name]), name);
  }
  const reasons = new Set(events.map(({ reason }) => reason));
  const all = ['cpuid', 'guest_request', 'mem_access', 'mov_to_msr', 'software_breakpoint', 'write_ctrlreg'];
  assert.deepEqual([...reasons].sort(), all);
  assert.deepEqual(new Set(events.map(({ vcpu }) => vcpu)), new Set([0, 1]));
  assert.deepEqual(new Set(events.map(({ altp2mIdx }) => altp2mIdx)), new Set([0, 1]));
  assert.match(finished.stderr, /software Xen/);
});

test('monitor --demo in words, with a table at the end', async () => {
  const { code, stdout, stderr } = await runInside(['monitor', '--demo', '--count', '30']);
  assert.equal(code, 0);
  assert.equal(stderr, '');
  assert.match(stdout, /^write_ctrlreg +vcpu 0 {2}view 0 {2}rip 0x0 {2}register cr3 {2}newValue 0x2000/m);
  assert.match(stdout, /^mem_access .* gfn 0x40 {2}offset 0x0 {2}access rw/m);
  assert.match(stdout, /^REASON +EVENTS +LAST$/m);
  const rows = [...stdout.matchAll(/^[a-z_]+ +(\d+) {2}vcpu/gm)];
  assert.equal(
    rows.reduce((sum, [, count]) => sum + Number(count), 0),
    30,
  );
});

test('filters show what they name, and events what is switched on', async () => {
  const one = eventsOf(await run(['monitor', '--demo', '--json', '--count', '9', '--reason', 'cpuid', '--vcpu', '1']));
  assert.deepEqual(new Set(one.map(({ reason, vcpu }) => `${reason} ${vcpu}`)), new Set(['cpuid 1']));
  const other = eventsOf(await run(['monitor', '--demo', '--json', '--count', '9', '--events', 'cr3,msr=0xc0000082']));
  assert.deepEqual(new Set(other.map(({ reason }) => reason)), new Set(['write_ctrlreg', 'mov_to_msr']));
  const memory = eventsOf(await run(['monitor', '--demo', '--json', '--count', '4', '--watch', '0x40:n']));
  assert.deepEqual(new Set(memory.map(({ reason, gfn }) => `${reason} ${gfn}`)), new Set(['mem_access 64']));
});

test('a wrong command line says what is wrong, and nothing is done', async () => {
  const rows: readonly (readonly [args: readonly string[], wanted: RegExp])[] = [
    [[], /DOMAIN is missing[\s\S]*monitor --demo/],
    [['1', '--events', 'cr2'], /'cr2' is none of cr0, [\s\S]*did you mean 'cr[0-4]'/],
    [['1', '--events', 'msr=big'], /msr=NUMBER must be a number/],
    [['1', '--reason', 'mem_acess'], /did you mean 'mem_access'/],
    [['1', '--watch', '0x40'], /FRAMES:ACCESS/],
    [['1', '--watch', '0x40:rq'], /must be one of/],
    [['--demo', '--count', '0'], /--count must be 1 or more/],
    [['--demo', '--count', 'x'], /--count must be a number/],
    [['--demo', '--backend', 'model'], /does not go with --backend/],
    [['1', '2'], /one operand too many/],
    [['recover'], /DOMAIN is missing/],
  ];
  for (const [args, wanted] of rows) {
    const { code, stderr, stdout } = await runInside(['monitor', ...args]);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, wanted);
    assert.equal(stdout, '');
  }
});

test('a domain that is not there', async () => {
  const { code, stderr } = await runInside(['monitor', '77', '--backend', 'model']);
  assert.equal(code, 1);
  assert.match(stderr, /there is no domain 77/);
});

test('Ctrl-C ends it as such, with the table', async () => {
  const child = spawn(process.execPath, [BIN, 'monitor', '--demo'], { env: cleanEnvironment() });
  let stdout = '';
  child.stdout.on('data', (data: Buffer) => {
    if (stdout === '') child.kill('SIGINT');
    stdout += data.toString();
  });
  const signal = await new Promise((resolve) => child.on('close', (_, by) => resolve(by)));
  assert.equal(signal, 'SIGINT');
  assert.match(stdout, /REASON +EVENTS/);
});

test('a reader that goes away ends it', async () => {
  const { code, stdout, stderr } = await runShell('bash', '"$NODE" "$XENCTRL" monitor --demo --json | head -n 3');
  assert.equal(code, 0, stderr);
  assert.equal(stdout.trim().split('\n').length, 3);
});

test('monitor recover frees a domain, and refuses dom0', async () => {
  const { json, code } = await runJsonInside(['monitor', 'recover', '1', '--backend', 'model']);
  assert.equal(code, 0);
  assert.deepEqual(json, { domid: 1, ring: false, answered: 0, vcpus: 2, view0: false });
  const dom0 = await runInside(['monitor', 'recover', '0', '--backend', 'model']);
  assert.equal(dom0.code, 1);
  assert.match(dom0.stderr, /domain 0 is dom0 itself/);
});

test('monitor --help tells of recover, the options and examples', async () => {
  const { stdout } = await runInside(['monitor', '--help']);
  for (const text of ['recover', '--count', '--demo', 'monitor 3 --events cr3,cpuid'])
    assert.ok(stdout.includes(text), text);
});
