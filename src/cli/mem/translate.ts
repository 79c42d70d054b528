/** `xenctrl mem translate`: walks the page tables for an address. */

import { hexAddress } from '../../vmi/address.js';
import { AddressSpace } from '../../vmi/address_space.js';
import { MemoryFault } from '../../vmi/fault.js';
import type { Mapped, Walk } from '../../vmi/paging.js';
import type { Command, Outcome } from '../command.js';
import { EXIT_FAILED, UsageError } from '../exit.js';
import { type Style, table } from '../style.js';
import {
  ABOUT_TARGET,
  ADDRESS,
  digits,
  memoryOf,
  onTarget,
  readAddress,
  SPACE_OPTIONS,
  TARGET,
  TARGET_OPTIONS,
} from './target.js';

const LEVELS: Readonly<Record<number, string>> = { 5: 'PML5E', 4: 'PML4E', 3: 'PDPTE', 2: 'PDE', 1: 'PTE' };
const SIZES: Readonly<Record<number, string>> = {
  4096: '4 KiB',
  [2 ** 21]: '2 MiB',
  [2 ** 22]: '4 MiB',
  [2 ** 30]: '1 GiB',
};

function rights({ writable, user, executable, accessed, dirty, global }: Mapped): string {
  return [
    writable ? 'writable' : 'read-only',
    executable ? 'executable' : 'not executable',
    user ? 'user' : 'supervisor',
    ...(accessed ? ['accessed'] : []),
    ...(dirty ? ['dirty'] : []),
    ...(global ? ['global'] : []),
  ].join(', ');
}

/** For JSON: addresses and entries as they are written, and not as decimal numbers. */
function inHex(walked: Walk): Record<string, unknown> {
  const steps = walked.steps.map(({ level, address, value }) => ({
    level,
    address: hexAddress(address),
    value: hexAddress(value),
  }));
  return { ...walked, ...(walked.mapped ? { address: hexAddress(walked.address) } : {}), steps };
}

function show(address: bigint, space: AddressSpace, walked: Walk, style: Style): string[] {
  const { mode } = space.paging;
  const steps = walked.steps.map(({ level, address: at, value }) => [LEVELS[level] ?? '', digits(at), digits(value)]);
  const rows = steps.length === 0 ? [] : [['', 'AT', 'ENTRY'].map(style.heading), ...steps];
  const end = walked.mapped
    ? [
        `${style.good('mapped')}  ${hexAddress(address)} is ${hexAddress(walked.address)}, in a page of ${SIZES[walked.pageSize]}: ${rights(walked)}`,
      ]
    : [style.bad(new MemoryFault(address, walked.reason, walked.level).message)];
  return [
    style.quiet(`CR3 ${hexAddress(space.cr3)}, ${mode === 'none' ? 'paging is off' : mode}`),
    ...table(rows),
    ...end,
  ];
}

export const translate: Command = {
  name: 'translate',
  summary: 'tell the guest-physical address behind a virtual one, level by level',
  description: [ABOUT_TARGET, 'The exit code is 1 when the address is not mapped.'],
  operands: [TARGET, ADDRESS],
  options: [...SPACE_OPTIONS.filter(({ name }) => name !== 'physical'), ...TARGET_OPTIONS],
  examples: [
    ['mem translate 1 0xffffffff81000000', 'as vCPU 0 sees it'],
    ['mem translate file:guest.lime 0x400000 --cr3 0x1a2b000', 'in saved memory'],
    ['mem translate 1 0xffffffff9b202940 --demo', 'try it on a software Xen'],
  ],
  run: (context) => {
    const address = readAddress(context.operands[1] ?? '', 'ADDRESS');
    return onTarget(context, (target): Outcome => {
      const space = memoryOf(target, context);
      if (!(space instanceof AddressSpace)) throw new UsageError('a file needs --cr3: where the page tables are');
      const walked = space.walk(address);
      return {
        json: {
          ...target.json,
          virtual: hexAddress(address),
          cr3: hexAddress(space.cr3),
          mode: space.paging.mode,
          ...inHex(walked),
        },
        text: (style) => show(address, space, walked, style),
        ...(walked.mapped ? {} : { code: EXIT_FAILED }),
      };
    });
  },
};
