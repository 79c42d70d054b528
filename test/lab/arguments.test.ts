import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLabArguments } from '#dist/lab/arguments.js';
import { LabError } from '#dist/lab/error.js';

/** The options of a command line that asks for a run. */
function optionsOf(...words: string[]): object {
  const request = parseLabArguments(words);
  assert.equal(request.kind, 'run');
  return request.kind === 'run' ? request.options : {};
}

test('everything after -- is the command, options and all', () => {
  assert.deepEqual(optionsOf('--engine', 'bochs', '--', 'node', '--engine', '-e', '1'), {
    engine: 'bochs',
    command: ['node', '--engine', '-e', '1'],
  });
});

test('the first word that is no option begins the command', () => {
  assert.deepEqual(optionsOf('--memory', '1024', 'ls', '-l', '--', 'x'), {
    memoryMiB: 1024,
    command: ['ls', '-l', '--', 'x'],
  });
});

test('every option is taken, with a space or an equals sign', () => {
  assert.deepEqual(
    optionsOf(
      ...[
        '--engine=qemu',
        '--xen-args',
        'loglvl=all sched=credit',
        '--device',
        'e1000e,addr=10',
        '--device=nvme,serial=a',
      ],
      ...['--memory=4096', '--timeout', '60', '--out', 'results', '--include', 'a', '--include=b=c', 'true'],
    ),
    {
      engine: 'qemu',
      xenArgs: 'loglvl=all sched=credit',
      devices: ['e1000e,addr=10', 'nvme,serial=a'],
      memoryMiB: 4096,
      timeoutSeconds: 60,
      out: 'results',
      include: ['a', 'b=c'],
      command: ['true'],
    },
  );
});

test('--help wins over whatever else is wrong behind it', () => {
  assert.deepEqual(parseLabArguments(['--help', '--nonsense']), { kind: 'help' });
});

for (const [what, words, message] of [
  ['no command', [], /no command/],
  ['no command after --', ['--'], /no command/],
  ['an unknown option', ['--enigne', 'qemu', 'true'], /unknown option --enigne/],
  ['an unknown engine', ['--engine', 'kvm', 'true'], /use qemu or bochs/],
  ['an option without its value', ['--out'], /--out needs a value/],
  ['an empty value', ['--out=', 'true'], /--out needs a value/],
  ['memory that is no number', ['--memory', '1G', 'true'], /whole number/],
  ['too little memory', ['--memory', '256', 'true'], /whole number from 768/],
  ['no time at all', ['--timeout', '0', 'true'], /whole number from 1/],
  ['a device for Bochs', ['--engine', 'bochs', '--device', 'nvme', 'true'], /qemu engine only/],
] as const) {
  test(`${what} is refused with exit code 125`, () => {
    assert.throws(
      () => parseLabArguments(words),
      (error) => error instanceof LabError && error.exitCode === 125 && message.test(error.message),
    );
  });
}
