import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { LabError } from '#dist/lab/error.js';
import type { LabEngine, LabOptions } from '#dist/lab/options.js';
import { runPrepared } from '#dist/lab/run.js';
import { Collector, fakeMachine } from './fakes.js';

const root = mkdtempSync(join(tmpdir(), 'lab-test-'));
const temporary = process.env['TMPDIR'];
after(() => {
  if (temporary === undefined) delete process.env['TMPDIR'];
  else process.env['TMPDIR'] = temporary;
  rmSync(root, { recursive: true });
});

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(root, 'machine-'));
  // The runs' own folders, where what they leave behind would show.
  process.env['TMPDIR'] = mkdtempSync(join(root, 'tmp-'));
});

interface Outcome {
  readonly exitCode?: number;
  readonly error?: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs with a fake emulator and checks that nothing is left: no folder, no process. */
async function run(engine: LabEngine, script: string, more: Partial<LabOptions> = {}): Promise<Outcome> {
  const pidFile = join(folder, 'pid');
  const whole = `const fs = require('node:fs'); fs.writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));\n${script}`;
  const [stdout, stderr] = [new Collector(), new Collector()];
  const options: LabOptions = { engine, command: ['true'], stdout, stderr, ...more };
  const outcome = await runPrepared(options, fakeMachine(folder, engine, whole)).then(
    ({ exitCode }) => ({ exitCode }),
    (error: unknown) => ({ error }),
  );
  assert.deepEqual(readdirSync(tmpdir()), []);
  if (existsSync(pidFile)) assert.throws(() => process.kill(Number(readFileSync(pidFile, 'utf8')), 0), /ESRCH/);
  return { ...outcome, stdout: stdout.text, stderr: stderr.text };
}

function labError(outcome: Outcome): LabError {
  assert.ok(outcome.error instanceof LabError, String(outcome.error));
  return outcome.error;
}

const SAY_NOTHING_MORE = 'setInterval(() => {}, 1000);';

test("the command's output and exit code come back, and an emulator that goes on is ended", async () => {
  const outcome = await run(
    'qemu',
    `fs.writeFileSync('control/stdout', 'out'); fs.writeFileSync('control/stderr', 'err');
     fs.writeFileSync('exit.new', '42\\n'); fs.renameSync('exit.new', 'control/exit');
     ${SAY_NOTHING_MORE}`,
  );
  assert.deepEqual(outcome, { exitCode: 42, stdout: 'out', stderr: 'err' });
});

/** For a fake emulator: goes on when the test has made a file of this name. */
const AWAIT = `const awaitFile = (name) => {
  while (!fs.existsSync(name)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
};`;

test('output arrives while the command still runs', async () => {
  const go = join(folder, 'go');
  const stdout = new Collector();
  const seen: string[] = [];
  stdout.write = (piece): boolean => {
    seen.push(Buffer.from(piece).toString());
    writeFileSync(go, '');
    return true;
  };
  await run(
    'qemu',
    `${AWAIT} fs.writeFileSync('control/stdout', 'one '); awaitFile(${JSON.stringify(go)});
     fs.appendFileSync('control/stdout', 'two'); fs.writeFileSync('control/exit', '0');`,
    { stdout },
  );
  assert.deepEqual(seen, ['one ', 'two']);
});

test('the stages follow the console', async () => {
  const lines = ['(XEN) Xen version 4.17', '(XEN) Freed 656kB init memory', 'lab: dom0 is ready'];
  const stages: string[] = [];
  await run(
    'qemu',
    `${AWAIT} for (const [index, line] of ${JSON.stringify(lines)}.entries()) {
       awaitFile(${JSON.stringify(folder)} + '/stage-' + (index + 1));
       fs.appendFileSync('console.log', line + '\\r\\n');
     }
     awaitFile(${JSON.stringify(folder)} + '/stage-4'); fs.writeFileSync('control/exit', '0');`,
    { onStage: (stage) => writeFileSync(join(folder, `stage-${stages.push(stage)}`), '') },
  );
  assert.deepEqual(stages, ['qemu is starting', 'Xen is starting', 'dom0 is starting', 'running']);
});

test('a command that takes too long is 124, with the last lines of the console', async () => {
  const error = labError(
    await run('qemu', `fs.writeFileSync('console.log', '(XEN) hello\\r\\n'); ${SAY_NOTHING_MORE}`, {
      timeoutSeconds: 3,
    }),
  );
  assert.equal(error.exitCode, 124);
  assert.equal(error.message, "the command did not end within 3 s. The console's last lines:\n(XEN) hello");
});

test('an emulator that ends by itself is 125, with what it said', async () => {
  const error = labError(await run('qemu', `console.error('no such device'); process.exit(3);`));
  assert.equal(error.exitCode, 125);
  assert.equal(error.message, 'qemu ended before the command did (exit code 3), saying:\nno such device\n');
});

test('an emulator that is killed is 125', async () => {
  const error = labError(await run('qemu', `process.kill(process.pid, 'SIGKILL');`));
  assert.equal(error.exitCode, 125);
  assert.match(error.message, /signal SIGKILL/);
});

test('an emulator that cannot be started is 125', async () => {
  const inputs = fakeMachine(folder, 'qemu', '');
  rmSync(inputs.tools.emulator);
  await assert.rejects(runPrepared({ command: ['true'] }, inputs), /qemu ended before the command did/);
  assert.deepEqual(readdirSync(tmpdir()), []);
});

for (const line of [
  '(XEN) Panic on CPU 0:',
  '(XEN) Hardware Dom0 crashed: rebooting machine in 5 seconds.',
  '[    3.1] Kernel panic - not syncing: Attempted to kill init!',
]) {
  test(`nobody waits for a machine that said "${line.slice(0, 40)}"`, async () => {
    const error = labError(
      await run('qemu', `fs.writeFileSync('console.log', ${JSON.stringify(`${line}\r\n`)}); ${SAY_NOTHING_MORE}`),
    );
    assert.equal(error.exitCode, 125);
    assert.match(error.message, /^Xen or dom0 died/);
  });
}

test('a file where the folder for results should be is refused', async () => {
  const inputs = fakeMachine(folder, 'qemu', '');
  await assert.rejects(
    runPrepared({ command: ['true'], out: inputs.tools.xen }, inputs),
    (error) => error instanceof LabError && /cannot be the folder/.test(error.message),
  );
});

test('an abort ends the emulator and rejects', async () => {
  const outcome = await run('qemu', SAY_NOTHING_MORE, { signal: AbortSignal.timeout(300) });
  assert.ok(outcome.error instanceof Error && outcome.error.name === 'TimeoutError');
});

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} to the driver ends everything and is ${exitCode}`, async () => {
    const pidFile = join(folder, 'pid');
    const inputs = fakeMachine(
      folder,
      'qemu',
      `require('node:fs').writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); ${SAY_NOTHING_MORE}`,
    );
    const driver = join(folder, 'driver.mjs');
    const dist = (file: string): string => pathToFileURL(join(process.cwd(), 'dist', 'lab', file)).href;
    writeFileSync(
      driver,
      `import { labMain } from '${dist('main.js')}'; import { runPrepared } from '${dist('run.js')}';
       const inputs = ${JSON.stringify(inputs)};
       process.exitCode = await labMain(['true'], (options) => runPrepared(options, inputs));`,
    );
    const child = spawn(process.execPath, [driver], { stdio: 'ignore' });
    const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)));
    while (!existsSync(pidFile)) await new Promise((done) => setTimeout(done, 20));
    child.kill(signal);
    assert.equal(await ended, exitCode);
    assert.throws(() => process.kill(Number(readFileSync(pidFile, 'utf8')), 0), /ESRCH/);
    assert.deepEqual(readdirSync(tmpdir()), []);
  });
}

/** Plays dom0's part on Bochs' disk: finds the partitions and writes as lab/dom0/disk does. */
const DISK = `
const { execFileSync } = require('node:child_process');
const disk = fs.openSync('disk.img', 'r+');
const table = Buffer.alloc(512);
fs.readSync(disk, table, 0, 512, 0);
const start = (n) => table.readUInt32LE(446 + (n - 1) * 16 + 8) * 512;
const put = (n, text, at = 0) => fs.writeSync(disk, Buffer.from(text, 'latin1'), 0, undefined, start(n) + at);
const status = (text) => put(4, (text + '\\n').padEnd(512, '\\0'));
`;

test('with Bochs, output is taken as far as the status sector says, bytes of 0 and all', async () => {
  const outcome = await run(
    'bochs',
    `${DISK} put(2, 'out\\0put and not yet'); put(3, 'err'); status('state=running stdout=7 stderr=3 exit= files=none');
     setTimeout(() => { put(2, 'out\\0put.'); status('state=done stdout=8 stderr=3 exit=9 files=ok'); }, 300);
     ${SAY_NOTHING_MORE}`,
    { command: ['true'], cwd: '/' },
  );
  assert.deepEqual(outcome, { exitCode: 9, stdout: 'out\0put.', stderr: 'err' });
});

test('with Bochs, the files of /run/out are unpacked into the folder that was asked for', async () => {
  const out = join(folder, 'results');
  const outcome = await run(
    'bochs',
    `${DISK} fs.mkdirSync('made/below', { recursive: true });
     fs.writeFileSync('made/below/big', 'x'.repeat(5000)); fs.writeFileSync('made/${'n'.repeat(120)}', 'long name');
     const tar = execFileSync('tar', ['-C', 'made', '-cf', '-', '.']);
     fs.writeSync(disk, tar, 0, tar.length, start(4) + 4096); status('state=done stdout=0 stderr=0 exit=0 files=ok');
     ${SAY_NOTHING_MORE}`,
    { out, cwd: '/' },
  );
  assert.deepEqual(outcome, { exitCode: 0, stdout: '', stderr: '' });
  assert.equal(readFileSync(join(out, 'below', 'big'), 'utf8'), 'x'.repeat(5000));
  assert.equal(readFileSync(join(out, 'n'.repeat(120)), 'utf8'), 'long name');
});

test('with Bochs, files that did not fit are said to be missing', async () => {
  const script = `${DISK} status('state=done stdout=0 stderr=0 exit=0 files=failed'); ${SAY_NOTHING_MORE}`;
  const error = labError(await run('bochs', script, { out: join(folder, 'results'), cwd: '/' }));
  assert.match(error.message, /did not fit/);
});

test('with Bochs, something to be included that does not exist is refused before anything starts', async () => {
  const error = labError(await run('bochs', '', { include: ['no/such/file'], cwd: '/' }));
  assert.match(error.message, /--include no\/such\/file/);
});
