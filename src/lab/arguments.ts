/** The command line of the lab: options, then the command and its arguments as they are. */

import { LabError } from './error.js';
import {
  DEFAULT_MEMORY_MIB,
  DEFAULT_TIMEOUT_SECONDS,
  type LabEngine,
  type LabOptions,
  MIN_MEMORY_MIB,
} from './options.js';

export const LAB_USAGE = `Runs a command in the dom0 of a real Xen, booted in an emulator.

usage: lab [options] [--] COMMAND [ARGUMENTS...]

  --engine qemu|bochs   qemu (default): seconds, AMD, no altp2m; bochs: about a minute, Intel with altp2m and VMFUNC
  --xen-args "WORDS"    more words for Xen's command line (bochs has altp2m=1 already)
  --device SPEC         a PCI device, in the words of QEMU's -device; may be repeated (qemu)
  --memory MB           of the whole machine, half for dom0 (default ${DEFAULT_MEMORY_MIB})
  --timeout SECONDS     default ${DEFAULT_TIMEOUT_SECONDS.qemu} (qemu), ${DEFAULT_TIMEOUT_SECONDS.bochs} (bochs)
  --out FOLDER          what the command writes to /run/out arrives here
  --include PATH        a file or folder that the command needs; may be repeated (bochs; qemu has all files)
  --help

The command runs as root in this folder, without a shell; its standard output is all that comes on standard output.
The exit code is the command's own; 124: not done in time; 125: the lab itself failed.
`;

/** What the command line asks for: a run, or this text. */
export type LabRequest = { readonly kind: 'help' } | { readonly kind: 'run'; readonly options: LabOptions };

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Collected = Mutable<Omit<LabOptions, 'command'>>;

const takeValue: Readonly<Record<string, (into: Collected, value: string) => void>> = {
  '--engine': (into, value) => {
    into.engine = engineName(value);
  },
  '--xen-args': (into, value) => {
    into.xenArgs = value;
  },
  '--device': (into, value) => {
    into.devices = [...(into.devices ?? []), value];
  },
  '--memory': (into, value) => {
    into.memoryMiB = wholeNumber('--memory', value, MIN_MEMORY_MIB);
  },
  '--timeout': (into, value) => {
    into.timeoutSeconds = wholeNumber('--timeout', value, 1);
  },
  '--out': (into, value) => {
    into.out = value;
  },
  '--include': (into, value) => {
    into.include = [...(into.include ?? []), value];
  },
};

/**
 * Options end at `--` or at the first word that is none; the rest is the command.
 *
 * @throws LabError for a command line that makes no sense
 */
export function parseLabArguments(words: readonly string[]): LabRequest {
  const collected: Collected = {};
  let at = 0;
  for (; at < words.length; at++) {
    const word = words[at] ?? '';
    if (word === '--help' || word === '-h') return { kind: 'help' };
    if (!word.startsWith('-')) break;
    if (word === '--') {
      at++;
      break;
    }
    const equals = word.indexOf('=');
    const name = equals < 0 ? word : word.slice(0, equals);
    const take = takeValue[name];
    if (!take)
      throw new LabError(`unknown option ${name}; --help lists them. A command that begins with - goes after --`);
    const value = equals < 0 ? words[++at] : word.slice(equals + 1);
    if (value === undefined || value === '') throw new LabError(`${name} needs a value`);
    take(collected, value);
  }
  const [program, ...rest] = words.slice(at);
  if (program === undefined) throw new LabError('no command to run; --help says how');
  const options: LabOptions = { ...collected, command: [program, ...rest] };
  checkTogether(options);
  return { kind: 'run', options };
}

/** @throws LabError when an option does not go with the engine */
export function checkTogether(options: LabOptions): void {
  if (options.engine === 'bochs' && options.devices !== undefined && options.devices.length > 0) {
    throw new LabError('--device is for the qemu engine only: Bochs has fixed devices');
  }
}

function engineName(value: string): LabEngine {
  if (value === 'qemu' || value === 'bochs') return value;
  throw new LabError(`--engine ${value}: use qemu or bochs`);
}

function wholeNumber(name: string, value: string, least: number): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < least) throw new LabError(`${name} ${value}: use a whole number from ${least}`);
  return number;
}
