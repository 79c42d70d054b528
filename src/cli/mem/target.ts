/** What the mem commands look into: a domain, or a file with saved memory. */

import { type Address, hexAddress } from '../../vmi/address.js';
import { MemoryFault } from '../../vmi/fault.js';
import { ImageFormatError } from '../../vmi/image_run.js';
import { Introspector } from '../../vmi/introspector.js';
import { GuestMismatchError } from '../../vmi/linux_find.js';
import type { Memory } from '../../vmi/memory.js';
import type { PagingMode } from '../../vmi/paging.js';
import { PatternError } from '../../vmi/pattern.js';
import { ProfileError } from '../../vmi/profile.js';
import type { Context, Operand, Option, Outcome } from '../command.js';
import { CommandError, UsageError } from '../exit.js';
import { XEN_OPTIONS } from '../option_list.js';
import { guardDom0, onSession, onXen, type Session } from '../session.js';
import { demoSession } from './demo.js';

export const TARGET: Operand = { name: 'TARGET' };
export const ADDRESS: Operand = { name: 'ADDRESS' };

const FILE = 'file:';

export const TARGET_OPTIONS: readonly Option[] = [
  ...XEN_OPTIONS,
  { name: 'demo', help: 'a software Xen whose domain 1 looks like a Linux from outside' },
];

const MODES: readonly PagingMode[] = ['32-bit', 'pae', '4-level', '5-level'];

/** Options that say what kind of address is meant. */
export const SPACE_OPTIONS: readonly Option[] = [
  { name: 'physical', help: 'addresses are guest-physical' },
  { name: 'vcpu', value: 'N', help: 'addresses are virtual, as vCPU N sees them now; default 0' },
  { name: 'cr3', value: 'ADDRESS', help: 'addresses are virtual, through the page tables there' },
  { name: 'mode', value: 'MODE', values: MODES, help: 'how the tables of --cr3 are walked; default as vCPU 0 does' },
];

/** What every mem command says about its first operand. */
export const ABOUT_TARGET =
  'TARGET is a domain (an id, a UUID, or the name of a guest of a software Xen) or file:PATH with saved memory: LiME, an ELF core (of `xl dump-core`, say), or raw.';

/** What a mem command works with. */
export interface Target {
  readonly vmi: Introspector;
  /** For the result: which domain, or which file. */
  readonly json: { readonly domid: number } | { readonly file: string };
  /** For people. */
  readonly name: string;
}

/** Runs a command on its target, which is open as long as it runs. */
export async function onTarget(
  context: Context,
  run: (target: Target) => Outcome | Promise<Outcome>,
  changes = false,
): Promise<Outcome> {
  try {
    return await open(context, run, changes);
  } catch (error) {
    throw explained(error);
  }
}

function open(context: Context, run: (target: Target) => Outcome | Promise<Outcome>, changes: boolean) {
  const { options, operands } = context;
  const name = operands[0] ?? '';
  if (name.startsWith(FILE)) return onFile(name.slice(FILE.length), run);
  const onDomain = async (session: Session): Promise<Outcome> => {
    const domain = session.domain(name);
    if (changes) guardDom0(domain, options);
    using vmi = Introspector.open(session.xen.xch, domain.domid);
    return await run({ vmi, json: { domid: domain.domid }, name: `domain ${domain.domid}` });
  };
  if (!options.has('demo')) return onXen(context, onDomain);
  const clash = XEN_OPTIONS.find((option) => options.has(option.name));
  if (clash) throw new UsageError(`--demo is a software Xen of its own: it does not go with --${clash.name}`);
  return onSession(demoSession, onDomain);
}

async function onFile(path: string, run: (target: Target) => Outcome | Promise<Outcome>): Promise<Outcome> {
  if (path === '') throw new UsageError('file: needs a path behind it: file:memory.lime');
  let vmi: Introspector;
  try {
    vmi = Introspector.image(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  using open = vmi;
  return await run({ vmi: open, json: { file: path }, name: path });
}

/** The file cannot be opened: says why; anything else is passed on. */
export function unreadable(path: string, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined || code === undefined) return error;
  return new CommandError(code, `${path} cannot be opened: ${code}`);
}

/** What a user may run into, without a stack. */
function explained(error: unknown): unknown {
  if (error instanceof MemoryFault || error instanceof GuestMismatchError || error instanceof ImageFormatError) {
    return new CommandError(error.code, error.message);
  }
  if (error instanceof ProfileError) {
    return new CommandError(error.code, error.message, 'docs/vmi.md tells how profiles are made');
  }
  return error instanceof PatternError ? new UsageError(`PATTERN: ${error.message}`) : error;
}

/** The memory that the options mean. */
export function memoryOf({ vmi }: Target, { options }: Context): Memory {
  const given = ['physical', 'vcpu', 'cr3'].filter((name) => options.has(name));
  if (given.length > 1) throw new UsageError(`give one of --${given.join(' and --')}`);
  const mode = options.get('mode') as PagingMode | undefined;
  const cr3 = options.get('cr3');
  if (mode !== undefined && cr3 === undefined) throw new UsageError('--mode goes with --cr3');
  if (cr3 !== undefined) return vmi.space(readAddress(cr3, '--cr3'), mode === undefined ? undefined : { mode });
  const vcpu = options.get('vcpu');
  if (vmi.domid === null) {
    if (vcpu !== undefined) throw new UsageError('a file has no vCPUs: give --cr3');
    return vmi.physical;
  }
  return options.has('physical') ? vmi.physical : vmi.spaceOf(readSize(vcpu ?? '0', '--vcpu'));
}

/** Reads an address: decimal or hexadecimal, of 64 bits. */
export function readAddress(text: string, what: string): bigint {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? BigInt(text) : -1n;
  if (value >= 0n && value < 2n ** 64n) return value;
  throw new UsageError(`${what} must be an address such as 0xffffffff81000000, not '${text}'`);
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** Reads a number of bytes: `64`, `0x40`, `4K`, `16M`, `1G`. */
export function readSize(text: string, what: string): number {
  const [, digits = '', unit = ''] = /^(0x[0-9a-f]+|\d+)([KMG]?)$/i.exec(text) ?? [];
  const value = Number(digits) * (UNITS[unit.toUpperCase()] ?? 1);
  if (digits !== '' && Number.isSafeInteger(value)) return value;
  throw new UsageError(`${what} must be a number such as 64, 0x40 or 4K, not '${text}'`);
}

/** An address in columns: all its digits. */
export function digits(address: Address): string {
  return hexAddress(address).slice(2).padStart(16, '0');
}
