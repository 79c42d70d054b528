import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backendChecks, type Check, machineChecks } from '#dist/cli/doctor/checks.js';
import { type MachineFacts, probe } from '#dist/cli/doctor/machine.js';
import { recipes } from '#dist/cli/doctor/recipe.js';
import { fileOf, run, runJson, runJsonInside } from './run.js';

interface Diagnosis {
  readonly verdict: string;
  readonly backend: string | null;
  readonly release: string | null;
  readonly checks: readonly Check[];
  readonly recipes: readonly { readonly of: string; readonly lines: readonly string[] }[];
}

const onXen = probe().onXen;

test('this machine, when it does not run on Xen: exit code 3, the model works', { skip: onXen }, async () => {
  const { code, stdout, stderr } = await run(['doctor']);
  assert.equal(code, 3);
  assert.equal(stderr, '');
  assert.match(stdout, /^This machine\n/);
  assert.match(stdout, /✓ auto +takes model\n/);
  assert.match(stdout, /GRUB_CMDLINE_XEN="\$GRUB_CMDLINE_XEN altp2m=1"\n/);
  assert.match(stdout, /altp2m = "external"/);
  assert.match(stdout, /No Xen here\. The software model works/);
  const { json } = await runJson(['doctor']);
  assert.equal((json as Diagnosis).verdict, 'no-xen');
  const domain = await run(['doctor', '1']);
  assert.equal(domain.code, 3);
  assert.match(domain.stderr, /no Xen runs here\n {2}--backend model/);
});

async function diagnose(scenario: string, ...operands: string[]): Promise<Diagnosis & { code: number | null }> {
  const { code, json } = await runJsonInside(['doctor', ...operands, '--scenario', fileOf(scenario)]);
  return { ...(json as Diagnosis), code };
}

function missing({ checks }: Diagnosis): string[] {
  return checks.flatMap(({ name, health }) => (health === 'missing' ? [name] : []));
}

test('a host and a guest that have all: exit code 0', async () => {
  const found = await diagnose('{"guests": [{"altp2m": "external"}]}', '1');
  assert.equal(found.code, 0);
  assert.equal(found.verdict, 'ready');
  assert.equal(found.backend, 'model');
  assert.equal(found.release, '4.17');
  assert.deepEqual(missing(found), []);
  assert.deepEqual(found.recipes, []);
});

test('what is missing is named, with what mends it: exit code 1', async () => {
  const noBoot = await diagnose('{"altp2m": false}');
  assert.equal(noBoot.code, 1);
  assert.deepEqual(missing(noBoot), ['boot option', 'altp2m']);
  assert.match(noBoot.checks.find(({ name }) => name === 'boot option')?.fix ?? '', /altp2m=1/);
  assert.deepEqual(
    noBoot.recipes.map((recipe) => recipe.of),
    ['host', 'guest'],
  );

  const noMode = await diagnose('{"release": "4.20", "guests": [{}]}', '1');
  assert.deepEqual(missing(noMode), ['altp2m mode']);
  assert.deepEqual(
    noMode.recipes.map((recipe) => recipe.of),
    ['guest'],
  );

  assert.ok(missing(await diagnose('{"cpu": {"vendor": "amd"}}')).includes('processor'));
  assert.ok(missing(await diagnose('{"guests": [{"type": "pv"}]}', '1')).includes('type'));
});

test('an unknown domain', async () => {
  const { code, stderr } = await run(['doctor', '5', '--backend', 'model']);
  assert.equal(code, 1);
  assert.match(stderr, /there is no domain 5/);
});

test('in text, what is missing stands out', async () => {
  const { stdout } = await run(['doctor', '--scenario', fileOf('{"altp2m": false}')]);
  assert.match(stdout, /✗ boot option .*\n +→ .*altp2m=1/);
  assert.match(stdout, /Something is missing: see the lines marked ✗/);
});

test('xl.cfg: the number of views since 4.21 only', () => {
  const lines = (release: string | null): string => recipes(release)[1].lines.join('\n');
  assert.match(lines('4.21'), /altp2m_count/);
  assert.doesNotMatch(lines('4.20'), /altp2m_count/);
  assert.doesNotMatch(lines(null), /altp2m_count/);
});

const DOM0: MachineFacts = {
  node: 'v20.19.0',
  platform: 'linux-x64',
  libc: 'glibc',
  onXen: true,
  dom0: true,
  devices: { '/dev/xen/privcmd': 'ok', '/dev/xen/hypercall': 'ok', '/dev/xen/evtchn': 'ok' },
  addon: { addon: null, reason: 'there is no native addon' },
  ffi: ['koffi'],
  libraries: null,
};

const health = (checks: readonly Check[], name: string): string | undefined =>
  checks.find((check) => check.name === name)?.health;

test('a dom0: devices', () => {
  assert.ok(machineChecks(DOM0).every((check) => check.health === 'ok'));
  const devices = {
    '/dev/xen/privcmd': 'denied',
    '/dev/xen/hypercall': 'absent',
    '/dev/xen/evtchn': 'absent',
  } as const;
  const checks = machineChecks({ ...DOM0, devices });
  assert.equal(health(checks, '/dev/xen/privcmd'), 'missing');
  assert.equal(checks.find(({ name }) => name === '/dev/xen/privcmd')?.fix, 'run as root: sudo');
  assert.equal(health(checks, '/dev/xen/hypercall'), 'note', 'older kernels do without');
  assert.equal(checks.find(({ name }) => name === '/dev/xen/evtchn')?.fix, 'modprobe xen-evtchn');
});

test('a guest of a Xen is told to go to dom0', () => {
  const [, xen] = machineChecks({ ...DOM0, dom0: false });
  assert.equal(xen?.health, 'missing');
  assert.equal(xen?.fix, 'run this in dom0');
});

test('a dom0: one real backend is enough, none is not', () => {
  const one = backendChecks(DOM0, { privcmd: 'no addon', libxen: null }, 'libxen');
  assert.equal(health(one, 'privcmd'), 'note');
  assert.equal(health(one, 'libxen'), 'ok');
  assert.equal(health(one, 'auto'), 'ok');
  assert.equal(health(one, 'native addon'), 'note');
  const none = backendChecks(
    { ...DOM0, ffi: [], libraries: 'no FFI' },
    { privcmd: 'no addon', libxen: 'no FFI' },
    null,
  );
  assert.deepEqual(
    ['privcmd', 'libxen', 'auto', "Xen's libraries", 'model'].map((name) => health(none, name)),
    ['missing', 'missing', 'missing', 'note', 'ok'],
  );
});
