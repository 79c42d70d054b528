/** The command's frame: help, mistakes, exit codes, colours, streams, signals. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Command, type Commands, loadAll } from '#dist/cli/command.js';
import { COMMAND_NAMES, COMMANDS } from '#dist/cli/commands.js';
import { nearest } from '#dist/cli/suggest.js';
import { LAB_USAGE } from '#dist/lab/arguments.js';
import { BIN, boxScenario, fileOf, run, runInside, runJson, runShell } from './run.js';

const commands = await loadAll(COMMANDS);

async function paths(
  list: Commands | undefined,
  above: readonly string[] = [],
): Promise<[path: string[], command: Command][]> {
  const found = [...(list ?? [])].map(async ([name, load]) => {
    const command = await load();
    assert.equal(command.name, name);
    const path = [...above, name];
    return [[path, command], ...(await paths(command.commands, path))] as [string[], Command][];
  });
  return (await Promise.all(found)).flat();
}

test('every command explains itself with examples that can be run', async () => {
  for (const [path, { summary }] of await paths(COMMANDS)) {
    const { code, stdout, stderr } = await runInside([...path, '--help']);
    assert.equal(code, 0, path.join(' '));
    assert.equal(stderr, '');
    assert.ok(stdout.startsWith(`xenctrl ${path.join(' ')} - ${summary}`));
    assert.match(stdout, /\nUsage\n/);
    assert.match(stdout, /\nExamples\n {2}xenctrl /, `${path.join(' ')} has no examples`);
    assert.ok(
      stdout.split('\n').every((line) => line.length <= 100),
      path.join(' '),
    );
  }
});

test('names and tables agree', () => {
  assert.deepEqual(
    commands.map(({ name }) => name),
    COMMAND_NAMES,
  );
});

test('help: of all, by word and by option, and of nothing at all', async () => {
  const byOption = await run(['--help']);
  assert.equal(byOption.code, 0);
  for (const name of COMMAND_NAMES) assert.ok(byOption.stdout.includes(`\n  ${name} `), name);
  assert.equal((await run(['help'])).stdout, byOption.stdout);
  assert.match((await run(['help', 'altp2m', 'hide'])).stdout, /^xenctrl altp2m hide - /);
  for (const line of [[], ['altp2m']]) {
    const { code, stdout, stderr } = await run(line);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, /\nCommands\n/);
  }
});

test('lab: its help has every option that the lab itself knows', async () => {
  const { stdout } = await runInside(['lab', '--help']);
  for (const [option] of LAB_USAGE.matchAll(/^ {2}--[a-z-]+/gm)) assert.ok(stdout.includes(option.trim()), option);
  assert.match(stdout, /Usage\n {2}xenctrl lab \[OPTION\]\.\.\. COMMAND \[ARGUMENT\.\.\.\]\n/);
  const { code, stderr } = await run(['lab', '--nonsense']);
  assert.equal(code, 125);
  assert.match(stderr, /^lab: unknown option --nonsense/);
});

test('version', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  assert.equal((await run(['--version'])).stdout, `${version}\n`);
  assert.equal((await run(['list', '--version'])).stdout, `${version}\n`);
  assert.deepEqual((await runJson(['--version'])).json, { version });
});

const MISTAKES: readonly (readonly [line: string, error: RegExp, next?: RegExp])[] = [
  ['lsit', /unknown command 'lsit'/, /did you mean `xenctrl list`/],
  ['altp2m hid 1 1', /unknown command 'hid'/, /did you mean `xenctrl altp2m hide`/],
  ['wibble', /unknown command 'wibble'/, /`xenctrl --help` lists/],
  ['list --jsn', /unknown option --jsn/, /did you mean --json/],
  ['list -x', /unknown option -x/],
  ['list --json=yes', /--json takes no value/],
  ['list --backend', /--backend needs a value/],
  ['list --backend --json', /--backend needs a value/],
  ['list --backend modle', /must be one of auto, privcmd, libxen, model, not 'modle'/, /did you mean --backend model/],
  ['list --backend=', /--backend needs a value/],
  ['list extra', /'extra' is one operand too many/],
  ['list --release 4.13', /--release must be one of 4\.14/],
  ['list --backend privcmd --release 4.17', /--release describes a software Xen/],
  ['list --scenario /does/not/exist', /--scenario \/does\/not\/exist cannot be read: ENOENT/],
  ['altp2m status', /DOMAIN is missing/, /xenctrl altp2m status --help/],
  ['altp2m hide 1', /VIEW is missing/],
  ['altp2m hide 1 one --backend model', /VIEW must be a number/],
  ['altp2m hide 1 70000 --backend model', /at most 65535/],
  ['altp2m access 1 1 5-3 --backend model', /'5-3' is no range/],
  ['altp2m access 1 1 1-2-3 --backend model', /no range/],
  ['altp2m access 1 1 0-0xffffffff --backend model', /more than 1048576 frames/],
  ['altp2m access 1 1 5 rww --backend model', /ACCESS must be one of/, /did you mean 'rw/],
  ['altp2m create 1 --access q --backend model', /--access must be one of/],
  ['altp2m remap 1 1 5 --backend model', /either TO or --undo/],
  ['altp2m remap 1 1 5 6 --undo --backend model', /either TO or --undo/],
  ['altp2m status 40000 --backend model', /no domain id/],
  ['completion tcsh', /SHELL must be one of bash, zsh, fish/],
  ['completion', /SHELL is missing/],
];

for (const [line, error, next] of MISTAKES) {
  test(`mistake: xenctrl ${line}`, async () => {
    const { code, stdout, stderr } = await runInside(line.split(' '));
    assert.equal(code, 2, stderr);
    assert.equal(stdout.replace(/^\{[\s\S]*\}\n$/, ''), '', 'only a JSON error may be on stdout');
    assert.match(stderr, /^xenctrl: /);
    assert.match(stderr, error);
    if (next) assert.match(stderr, next);
    assert.equal(stderr.trimEnd().split('\n').length, 2, 'what is wrong, and what to do');
  });
}

test('mistakes with --json: the error is the JSON', async () => {
  const { code, json, stderr } = await runJson(['altp2m', 'hide', '1']);
  assert.equal(code, 2);
  assert.deepEqual(json, { error: { code: 'ERR_USAGE', message: 'VIEW is missing' } });
  assert.match(stderr, /VIEW is missing/);
});

test('errors of Xen with --json: all that the error has', async () => {
  const file = boxScenario();
  const { code, json, stderr } = await runJson(['altp2m', 'remap', 'box', '1', '0x40', '0x9999', '--scenario', file]);
  assert.equal(code, 1);
  const { error } = json as { error: Record<string, unknown> };
  assert.deepEqual(
    [error['code'], error['errno'], error['syscall'], error['domid']],
    ['ESRCH', -3, 'xc_altp2m_change_gfn', 1],
  );
  assert.match(stderr, /xc_altp2m_change_gfn on domain 1: ESRCH/);
});

const SCENARIO_MISTAKES: readonly (readonly [text: string, error: RegExp])[] = [
  ['{', /not JSON/],
  ['[]', /the scenario must be an object/],
  ['{"gests": []}', /gests is unknown here; known are .*guests/],
  ['{"release": "4.99"}', /release must be "4\.14", .* not "4\.99"/],
  ['{"guests": {}}', /guests must be a list/],
  ['{"guests": [{}, {"vcpus": "two"}]}', /guests\[1\]\.vcpus must be an integer from 1 to 512, not "two"/],
  ['{"guests": [{"vcpus": 0}]}', /guests\[0\]\.vcpus must be an integer from 1/],
  ['{"guests": [{"uuid": "x"}]}', /guests\[0\]\.uuid must be a UUID/],
  ['{"guests": [{"name": "7"}]}', /guests\[0\]\.name must be a name/],
  ['{"guests": [{"name": "a"}, {"name": "A"}]}', /guests\[1\]\.name is that of guests\[0\]/],
  ['{"guests": [{"altp2m": "on"}]}', /guests\[0\]\.altp2m must be "disabled", "mixed"/],
  ['{"guests": [{"views": [{"access": {"q": "r"}}]}]}', /guests\[0\]\.views\[0\]\.access must be a frame number/],
  ['{"guests": [{"views": [{"access": {"1": "rq"}}]}]}', /views\[0\]\.access\.1 must be "n"/],
  ['{"guests": [{"views": [{}]}]}', /guests\[0\]\.altp2mOn: .*the guest has no altp2m mode/],
  ['{"altp2m": false, "guests": [{"altp2m": "mixed", "altp2mOn": true}]}', /this machine has no altp2m/],
  ['{"guests": [{"altp2m": "mixed", "altp2mOn": false, "views": [{}]}]}', /views needs altp2mOn/],
  ['{"guests": [{"altp2m": "mixed", "views": [{"remap": {"1": 2}}]}]}', /remap: the guest has no memory at frame 0x1/],
  ['{"guests": [{"altp2m": "mixed", "views": [{"defaultAccess": "r_pw"}]}]}', /views\[0\]: .*4\.20/],
  ['{"cpu": {"vendor": "via"}}', /cpu\.vendor must be "intel", "amd"/],
  ['{"guests": [{"altp2m": "mixed", "nestedVirt": true}]}', /guests\[0\]: .*EINVAL/],
];

for (const [text, error] of SCENARIO_MISTAKES) {
  test(`scenario mistake: ${text}`, async () => {
    const { code, stderr } = await runInside(['list', '--scenario', fileOf(text)]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, error);
  });
}

test('colours: only where they are wanted', async () => {
  const sequence = String.fromCharCode(27);
  const coloured = async (env: NodeJS.ProcessEnv): Promise<boolean> =>
    (await run(['demo'], { env })).stdout.includes(sequence);
  assert.equal(await coloured({}), false, 'not into a pipe');
  assert.equal(await coloured({ FORCE_COLOR: '1' }), true);
  assert.equal(await coloured({ FORCE_COLOR: '0' }), false);
  assert.equal(await coloured({ NO_COLOR: '1' }), false);
  assert.equal(await coloured({ NO_COLOR: '1', FORCE_COLOR: '1' }), true);
  assert.equal((await run(['demo', '--json'], { env: { FORCE_COLOR: '1' } })).stdout.includes(sequence), false);
});

test('a reader that goes away is no error', async () => {
  const { code, stdout, stderr } = await runShell(
    'bash',
    'set -o pipefail; "$NODE" "$XENCTRL" demo | head -n 1; for i in 1 2 3; do "$NODE" "$XENCTRL" demo --json | true || exit 9; done',
  );
  assert.equal(stderr, '');
  assert.equal(code, 0);
  assert.match(stdout, /^altp2m views/);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal}: stops between two steps, and ends as a shell expects`, async () => {
    const file = boxScenario({ memoryPages: 0x100000 });
    const line = ['altp2m', 'access', 'box', '1', '0-0xfffff', 'r', '--scenario', file];
    const finished = await run(line, { interrupt: { after: 400, signal } });
    assert.equal(finished.signal, signal, finished.stdout);
    assert.equal(finished.code, null);
    assert.equal(finished.stdout, '');
    assert.ok(finished.stderr === '' || /^xenctrl: .* was stopped/.test(finished.stderr), finished.stderr);
  });
}

test('the command can be started from anywhere, through a link too', async () => {
  const { code, stdout } = await runShell(
    'bash',
    'cd / && link=$(mktemp -d)/x && ln -s "$XENCTRL" "$link" && "$link" --version',
  );
  assert.equal(code, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+/);
  assert.match(readFileSync(BIN, 'utf8'), /^#!\/usr\/bin\/env node\n/);
});

test('no Xen: exit code 3, and what to do', async () => {
  const { code, stderr } = await run(['list', '--backend', 'privcmd']);
  if (code === 0) return; // a real dom0
  assert.equal(code, 3);
  assert.match(stderr, /^xenctrl: backend privcmd: .+\n {2}`xenctrl doctor` tells/);
  const { json } = await runJson(['list', '--backend', 'privcmd']);
  assert.equal((json as { error: { code: string } }).error.code, 'ERR_XENCTRL_BACKEND');
});

test('nearest: near words only', () => {
  const words = ['list', 'info', 'doctor', 'altp2m', 'completion'];
  assert.equal(nearest('lsit', words), 'list');
  assert.equal(nearest('lists', words), 'list');
  assert.equal(nearest('compl', words), 'completion');
  assert.equal(nearest('altpm', words), 'altp2m');
  assert.equal(nearest('qqqq', words), undefined);
  assert.equal(nearest('', words), undefined);
});
