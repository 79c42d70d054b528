/** What bits of a vCPU's registers mean. */

import type { Registers } from '../../xen/vcpu.js';

const FLAGS: readonly (readonly [bit: number, name: string])[] = [
  [0, 'CF'],
  [2, 'PF'],
  [4, 'AF'],
  [6, 'ZF'],
  [7, 'SF'],
  [8, 'TF'],
  [9, 'IF'],
  [10, 'DF'],
  [11, 'OF'],
  [14, 'NT'],
  [16, 'RF'],
  [17, 'VM'],
  [18, 'AC'],
  [21, 'ID'],
];

const bit = (value: bigint, at: number): boolean => ((value >> BigInt(at)) & 1n) === 1n;

/** The flags that are set in RFLAGS, by their names. */
export function flagNames(rflags: bigint): string[] {
  return FLAGS.filter(([at]) => bit(rflags, at)).map(([, name]) => name);
}

/** In which mode the processor is. A PV vCPU runs in the mode that Xen made for it. */
export function modeOf({ cr0, cr4, efer, cs }: Registers): string {
  if (efer === null) return `PV, privilege level ${Number(cs & 3n)}`;
  if (!bit(cr0, 0)) return 'real mode';
  const level = `privilege level ${Number(cs & 3n)}`;
  if (!bit(cr0, 31)) return `protected mode, paging off, ${level}`;
  if (bit(efer, 10)) return `long mode, ${bit(cr4, 12) ? 5 : 4}-level paging, ${level}`;
  return `protected mode, ${bit(cr4, 5) ? 'PAE' : '32-bit'} paging, ${level}`;
}
