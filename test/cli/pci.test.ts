import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { configBytes, msixBody } from '../abi/pci/bytes.js';
import { dumpPath, lspciText, sysfsFolder } from '../pci/dumps.js';
import { scratchFolder } from '../scratch.js';
import { fileOf, run, runInside, runJsonInside, runShell } from './run.js';

const DUMP = dumpPath('q35-vvxxx.txt');

interface Place {
  readonly bir: number | null;
  readonly offset: number | null;
  readonly firstFrame: number | null;
  readonly lastFrame: number | null;
}

interface Device {
  readonly sbdf: string;
  readonly msix: null | { readonly vectors: number | null; readonly table: Place; readonly pba: Place };
  readonly problems: readonly string[];
}

async function inspected(...args: string[]): Promise<Device[]> {
  return (await runJsonInside(['pci', 'inspect', ...args])).json as Device[];
}

test('pci inspect FILE --json: an array, an object for each device', async () => {
  const devices = await inspected(DUMP);
  assert.equal(devices.length, 27);
  const { msix, problems } = devices.find(({ sbdf }) => sbdf === '0000:00:09.0') ?? {};
  assert.deepEqual(problems, []);
  assert.ok(msix);
  const { bytes: _, ...table } = msix.table as Place & { bytes: number };
  assert.equal(msix.vectors, 65);
  assert.deepEqual(table, { bir: 0, offset: 0x2000, firstFrame: 0xfe2ca, lastFrame: 0xfe2ca });
  assert.equal(msix.pba.firstFrame, 0xfe2cb);
  assert.equal(devices[0]?.msix, null);
});

test('pci inspect: a folder copied from sysfs, and one device of it', async () => {
  const devices = await inspected(sysfsFolder(), '01:00.2');
  assert.deepEqual(
    devices.map(({ sbdf, msix }) => [sbdf, msix?.table.firstFrame]),
    [['0000:01:00.2', 0xfde0a]],
  );
});

test('pci inspect: the standard input', async () => {
  const { code, stdout } = await runShell('bash', `"$NODE" "$XENCTRL" pci inspect - --json < '${DUMP}'`);
  assert.equal(code, 0);
  assert.equal((JSON.parse(stdout) as Device[]).length, 27);
});

test('pci inspect: pages, read-only or not, and what is in them', async () => {
  const { code, stdout } = await runInside(['pci', 'inspect', DUMP, '00:09.0']);
  assert.equal(code, 0);
  assert.match(stdout, /^0000:00:09\.0 {2}Non-Volatile memory controller/);
  assert.match(stdout, /table +BAR 0 \+ 0x2000 {2}1040 bytes {2}frame 0xfe2ca/);
  assert.match(stdout, /0x0-0x1fff +2 pages +0xfe2c8-0xfe2c9 +the guest's\n +0x2000 +T{9}\.{23} +0xfe2ca +read-only\n/);
  assert.match(stdout, /note +The driver nvme has it/);
});

test('pci inspect: devices without MSI-X only when they are asked for', async () => {
  const some = await runInside(['pci', 'inspect', DUMP]);
  assert.match(some.stdout, /^8 without MSI-X are not shown: --all$/m);
  assert.doesNotMatch(some.stdout, /^0000:00:1f\.0/m);
  assert.match((await runInside(['pci', 'inspect', DUMP, '--all'])).stdout, /^0000:00:1f\.0/m);
});

test('pci inspect --release: what that Xen does with the neighbours', async () => {
  const at = async (release: string) =>
    (await runInside(['pci', 'inspect', DUMP, '00:09.0', '--release', release])).stdout;
  assert.match(await at('4.17'), /On Xen 4\.17 no guest can write/);
  assert.match(await at('4.20'), /On Xen 4\.20 Xen passes/);
});

test('pci inspect --svg: a picture that is XML, whatever the label is', async () => {
  const file = join(scratchFolder(), 'pages.svg');
  const bytes = configBytes({
    bars: [0xfebf0000],
    capabilities: [{ id: 0x11, offset: 0x40, body: msixBody(64, 0x2000, 0x3000) }],
  });
  const dump = fileOf(
    lspciText(new Map([[0x300, bytes]])).replace('Unclassified', '<script>&"\u0001\ud800 Unclassified'),
  );
  assert.equal((await runInside(['pci', 'inspect', dump, '--svg', file])).code, 0);
  const svg = readFileSync(file, 'utf8');
  assert.match(svg, /&lt;script&gt;&amp;&quot;/);
  assert.match(svg, /class="table"/);
  assert.ok(!svg.includes('<script'));
  if (existsSync('/usr/bin/xmllint')) assert.equal((await runShell('bash', `xmllint --noout '${file}'`)).code, 0);
});

test('pci list: a line a device', async () => {
  const { code, stdout } = await runInside(['pci', 'list', DUMP]);
  assert.equal(code, 0);
  assert.match(stdout, /^DEVICE +ID +DRIVER +GROUP +VECTORS +TABLE +PROBLEMS\n/);
  assert.match(stdout, /^0000:00:09\.0 +1b36:0010 +nvme +8 +65 +0xfe2ca +- +Non-Volatile/m);
  assert.equal(stdout.trimEnd().split('\n').length, 28);
  const { json } = await runJsonInside(['pci', 'list', DUMP]);
  assert.equal((json as { devices: unknown[] }).devices.length, 27);
});

const MISTAKES: readonly (readonly [args: readonly string[], code: number, error: RegExp])[] = [
  [['inspect', '/does/not/exist'], 2, /cannot be read: ENOENT/],
  [['inspect', fileOf('no dump at all\n')], 1, /no device in it.*\n {2}make it with `lspci -vvxxxx > FILE`/],
  [['inspect', scratchFolder()], 1, /no folder of a PCI function/],
  [['inspect', DUMP, '00:1e.0'], 1, /there is no device 0000:00:1e\.0\n {2}`xenctrl pci list .*` shows/],
  [['inspect', DUMP, 'eth0'], 2, /'eth0' is no device/],
  [['inspect', DUMP, '00:09.0', '--svg', '/does/not/exist'], 1, /cannot be written: ENOENT/],
  [['inspect', '00:09.0', '00:09.0'], 2, /one operand too many/],
];

for (const [args, code, error] of MISTAKES) {
  test(`mistake: pci ${args.join(' ')}`, async () => {
    const finished = await runInside(['pci', ...args]);
    assert.deepEqual([finished.code, finished.stdout], [code, '']);
    assert.match(finished.stderr, error);
    assert.equal(finished.stderr.trimEnd().split('\n').length, 2, 'what is wrong, and what to do');
  });
}

test('pci inspect as a process of its own', async () => {
  const { code, stdout, stderr } = await run(['pci', 'inspect', DUMP, '00:09.0', '--json']);
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal((JSON.parse(stdout) as Device[])[0]?.sbdf, '0000:00:09.0');
});

test('pci plan: the steps, what the toolstack does, and what forbids it', async () => {
  const { code, stdout } = await runInside(['pci', 'plan', '00:10.0', '1', '--demo']);
  assert.equal(code, 0);
  assert.match(stdout, /^0000:00:10\.0 to domain 1\n {2}1 +unbind 0000:00:10\.0 from e1000e\n/);
  assert.match(stdout, /^ {2}12 +assign 0000:00:10\.0 to domain 1\n {2}toolstack +have the device model/m);
  const refused = await runJsonInside(['pci', 'plan', '00:1e.0', 'demo', '--demo']);
  assert.equal(refused.code, 1);
  assert.deepEqual((refused.json as { refusals: string[] }).refusals, ['There is no device 0000:00:1e.0.']);
});

test('pci attach, detach, recover: what they do is said as they do it', async () => {
  const given = await runInside(['pci', 'attach', '00:10.0', '1', '--demo']);
  assert.equal(given.code, 0);
  assert.match(given.stderr, /^unbind 0000:00:10\.0 from e1000e\n/);
  assert.match(given.stdout, /^0000:00:10\.0 is domain 1's\n {2}toolstack/);
  const dry = await runJsonInside(['pci', 'attach', '00:10.0', '1', '--demo', '--dry-run']);
  assert.equal((dry.json as { steps: string[] }).steps.length, 12);
  const taken = await runInside(['pci', 'detach', '00:10.0', '--demo']);
  assert.match(taken.stderr, /^take back: assign 0000:00:10\.0 to domain 1\n/);
  assert.match(taken.stdout, /^0000:00:10\.0 is dom0's again\n/);
  assert.match((await runInside(['pci', 'recover', '--demo'])).stdout, /^no run was cut off\n/);
});

const REFUSED: readonly (readonly [args: readonly string[], code: number, error: RegExp])[] = [
  [['attach', '00:10.0', '0', '--demo'], 1, /Domain 0 has all devices/],
  [['attach', '00:10.0', '7', '--demo'], 1, /there is no domain 7/],
  [['attach', '00:10.0', '1', '--demo', '--backend', 'model'], 2, /--demo is a software Xen of its own/],
  [['attach', 'eth0', '1', '--demo'], 2, /'eth0' is no device/],
  [['attach', '00:10.0', '1', '--demo', '--state', '/dev/null/x'], 1, /cannot be noted: .*ENOTDIR/],
  [['detach', '00:11.0', '--backend', 'model'], 1, /nothing is known of giving 0000:00:11\.0 away/],
  [['inspect', DUMP, '--demo'], 2, /--demo has devices of its own/],
];

for (const [args, code, error] of REFUSED) {
  test(`refused: pci ${args.join(' ')}`, async () => {
    const finished = await runInside(['pci', ...args]);
    assert.deepEqual([finished.code, finished.stdout], [code, '']);
    assert.match(finished.stderr, error);
  });
}
