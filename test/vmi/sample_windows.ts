/** A guest that looks like a Windows from outside: tables, a list of processes, a kernel's first page, a profile. */

import { TestMemory } from './test_memory.js';

const BASE = 0xffff_f800_1a00_0000n;
const HEAP = 0xffff_a08f_0000_0000n;
const SIZE = 0x600;
const AT = { table: 0x28, pid: 0x440, links: 0x448, parent: 0x540, name: 0x5a8 };

export const PROCESSES = [
  { pid: 4, ppid: 0, name: 'System' },
  { pid: 92, ppid: 4, name: 'Registry' },
  { pid: 540, ppid: 428, name: 'csrss.exe' },
  { pid: 5128, ppid: 5100, name: 'explorer.exe' },
] as const;

export interface SampleWindows {
  readonly memory: TestMemory;
  readonly profile: string;
  readonly base: bigint;
  readonly cr3: bigint;
  readonly lstar: bigint;
  /** Guest-physical address of each `_EPROCESS`. */
  readonly processes: readonly number[];
}

export function sampleWindows(): SampleWindows {
  const memory = new TestMemory(Array.from({ length: 64 }, (_, i) => i));
  const ascii = (at: number, text: string): void => {
    for (const [i, byte] of Buffer.from(text, 'latin1').entries()) {
      memory.writablePage(Math.floor((at + i) / 4096))?.bytes.set([byte], (at + i) % 4096);
    }
  };
  // the kernel's first page in frame 8, the list's head in frame 9; the heap is frames 16 and up
  const map = (address: bigint, tables: readonly number[], frame: number): void => {
    const index = (level: number): number => Number((address >> BigInt(3 + 9 * level)) & 0x1ffn) * 8;
    let table = 0x1000;
    for (const [i, next] of tables.entries()) {
      memory.put64(table + index(4 - i), BigInt(next) | 0x63n);
      table = next;
    }
    memory.put64(table + index(1), BigInt(frame * 4096) | 0x63n);
  };
  map(BASE, [0x2000, 0x3000, 0x4000], 8);
  map(BASE + 0x1000n, [0x2000, 0x3000, 0x4000], 9);
  for (let i = 0; i < 8; i++) map(HEAP + BigInt(i * 4096), [0x5000, 0x6000, 0x7000], 16 + i);
  ascii(8 * 4096, 'MZ');
  const head = BASE + 0x1100n;
  const objects = PROCESSES.map((_, i) => 0x80 + i * (SIZE + 0x40));
  const links = [head, ...objects.map((at) => HEAP + BigInt(at + AT.links))];
  const physical = [9 * 4096 + 0x100, ...objects.map((at) => 16 * 4096 + at + AT.links)];
  for (const [i, at] of physical.entries()) {
    memory.put64(at, links[(i + 1) % links.length] as bigint);
    memory.put64(at + 8, links[(i + links.length - 1) % links.length] as bigint);
  }
  const processes = objects.map((at) => 16 * 4096 + at);
  for (const [i, { pid, ppid, name }] of PROCESSES.entries()) {
    const at = processes[i] as number;
    memory.put64(at + AT.table, i === 0 ? 0x1002n : BigInt(0x20 + i) * 4096n + 0x2n); // a PCID in the low bits
    memory.put64(at + AT.pid, BigInt(pid));
    memory.put64(at + AT.parent, BigInt(ppid));
    ascii(at + AT.name, `${name}\0\0\0\0\0\0\0\0\0`.slice(0, 15));
  }
  ascii(8 * 4096 + 0x200, 'System\0\0\0\0\0\0\0\0\0'); // the name by itself is not enough
  return { memory, profile: JSON.stringify(profile()), base: BASE, cr3: 0x1000n, lstar: BASE + 0x40n, processes };
}

function profile(): object {
  const u64 = { kind: 'base', name: 'unsigned long long' };
  const text = { kind: 'array', count: 15, subtype: { kind: 'base', name: 'unsigned char' } };
  const fields = {
    Pcb: { offset: 0, type: { kind: 'struct', name: '_KPROCESS' } },
    UniqueProcessId: { offset: AT.pid, type: { kind: 'pointer', subtype: { kind: 'base', name: 'void' } } },
    ActiveProcessLinks: { offset: AT.links, type: { kind: 'struct', name: '_LIST_ENTRY' } },
    InheritedFromUniqueProcessId: {
      offset: AT.parent,
      type: { kind: 'pointer', subtype: { kind: 'base', name: 'void' } },
    },
    ImageFileName: { offset: AT.name, type: text },
  };
  return {
    metadata: { format: '6.2.0', windows: {} },
    base_types: {
      'unsigned char': { size: 1, signed: false, kind: 'char' },
      'unsigned long long': { size: 8, signed: false, kind: 'int' },
    },
    user_types: {
      _EPROCESS: { kind: 'struct', size: SIZE, fields },
      _KPROCESS: { kind: 'struct', size: 0x438, fields: { DirectoryTableBase: { offset: AT.table, type: u64 } } },
    },
    symbols: { KiSystemCall64: { address: 0x40 }, PsActiveProcessHead: { address: 0x1100 } },
  };
}
