/** `xenctrl vcpu regs`: registers, readable. */

import { XenError } from '../../hypervisor/error.js';
import type { Registers } from '../../xen/vcpu.js';
import { DOMAIN, operand, readNumber } from '../altp2m/operands.js';
import type { Command, Context, Outcome } from '../command.js';
import { XEN_OPTIONS } from '../option_list.js';
import { onXen, type Session } from '../session.js';
import type { Style } from '../style.js';
import { flagNames, modeOf } from './names.js';

const MAX_VCPU = 0xffff;

/** One vCPU, as the command tells of it. */
interface Told {
  readonly vcpu: number;
  readonly online: boolean;
  /** Null: it is down, and Xen has none of it. */
  readonly registers: Registers | null;
}

function tell(
  session: Session,
  name: string,
  only: string | undefined,
): { domid: number; uuid: string; vcpus: Told[] } {
  const domain = session.domain(name);
  const last = domain.info().max_vcpu_id ?? -1;
  const ids =
    only === undefined ? Array.from({ length: last + 1 }, (_, id) => id) : [readNumber(only, 'VCPU', MAX_VCPU)];
  // all from one moment
  using _paused = domain.domid === 0 ? null : domain.pause();
  const vcpus = ids.map((id) => {
    const vcpu = domain.vcpu(id);
    const { online } = vcpu.info();
    return { vcpu: id, online, registers: registersOf(() => vcpu.registers()) };
  });
  return { domid: domain.domid, uuid: domain.uuid, vcpus };
}

/** Null for a vCPU that is down, or for the caller's own. */
function registersOf(read: () => Registers): Registers | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof XenError && ['ENOENT', 'ENODATA', 'EINVAL'].includes(error.code)) return null;
    throw error;
  }
}

const hex = (value: bigint): string => value.toString(16).padStart(16, '0');

const ROWS: readonly (readonly (keyof Registers)[])[] = [
  ['rip', 'rsp', 'rflags'],
  ['rax', 'rbx', 'rcx'],
  ['rdx', 'rsi', 'rdi'],
  ['rbp', 'r8', 'r9'],
  ['r10', 'r11', 'r12'],
  ['r13', 'r14', 'r15'],
  ['cr0', 'cr2', 'cr3'],
  ['cr4', 'efer', 'fs_base'],
  ['gs_base', 'shadow_gs', 'dr7'],
];
const SELECTORS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const;

function lines({ vcpu, online, registers }: Told, style: Style): string[] {
  const head = `${style.heading(`vCPU ${vcpu}`)}  ${online ? style.good('up') : style.warning('down')}`;
  if (!registers) return [head, style.quiet('Xen tells no registers of it')];
  const cell = (name: keyof Registers): string => {
    const value = registers[name];
    const shown = value === null ? '-'.padEnd(16) : value === 0n ? style.quiet(hex(value)) : hex(value);
    return `${style.quiet(name.padEnd(9))} ${shown}`;
  };
  const selectors = SELECTORS.map((name) => `${style.quiet(name)} ${registers[name].toString(16).padStart(4, '0')}`);
  return [
    `${head}  ${modeOf(registers)}`,
    ...ROWS.map((row) => row.map(cell).join('  ').trimEnd()),
    selectors.join('  '),
    `${style.quiet('flags')} ${flagNames(registers.rflags).join(' ') || '-'}`,
  ];
}

/** JSON has no integers of 64 bits: registers are told as `"0x..."`. */
function json({ registers, ...rest }: Told): unknown {
  const told =
    registers &&
    Object.entries(registers).map(([name, value]) => [name, value === null ? null : `0x${value.toString(16)}`]);
  return { ...rest, registers: told && Object.fromEntries(told) };
}

function show(context: Context, session: Session): Outcome {
  const told = tell(session, operand(context, 0), context.operands[1]);
  return {
    json: { ...told, vcpus: told.vcpus.map(json) },
    text: (style) => told.vcpus.flatMap((one, i) => [...(i > 0 ? [''] : []), ...lines(one, style)]),
  };
}

export const regs: Command = {
  name: 'regs',
  summary: 'show the registers of a vCPU, or of all',
  description: ['The domain is paused for the moment in which they are read, so that they belong together.'],
  operands: [DOMAIN, { name: 'VCPU', optional: true }],
  options: XEN_OPTIONS,
  examples: [
    ['vcpu regs 1', 'of all vCPUs of domain 1'],
    ['vcpu regs 1 0', 'of vCPU 0'],
    ['vcpu regs 1 0 --json | jq -r .vcpus[0].registers.rip', 'where it is'],
  ],
  run: (context) => onXen(context, (session) => show(context, session)),
};
