/**
 * A guest that looks like a Linux from outside, for trying agents out without one: page tables, a kernel that KASLR
 * moved, its list of tasks, and a profile to read them by. It runs nothing. Its structures are made up; they are only as
 * large as what is read of them.
 */

/** One process of the sample. */
export interface SampleProcess {
  readonly pid: number;
  readonly ppid: number;
  readonly uid: number;
  readonly comm: string;
  /** Has no address space: a thread of the kernel. */
  readonly kernel?: boolean;
}

export interface SampleOptions {
  /** How far KASLR moved the kernel in its address space: a multiple of 2 MiB, below 1 GiB. Default 0x1a00_0000. */
  readonly virtualShift?: number;
  /** And in guest-physical memory. Default 0x60_0000. */
  readonly physicalShift?: number;
  /** Tables of five levels. Default false. */
  readonly fiveLevels?: boolean;
  readonly processes?: readonly SampleProcess[];
}

/** What was laid out, and what a processor's registers would be. */
export interface Sample {
  /** An ISF for {@link Profile.parse}. */
  readonly profile: string;
  readonly registers: {
    readonly cr0: bigint;
    readonly cr3: bigint;
    readonly cr4: bigint;
    readonly msr_efer: bigint;
    readonly msr_lstar: bigint;
  };
  /** Guest-physical address of each process's `task_struct`, in the order of the list; the first is `init_task`. */
  readonly tasks: readonly number[];
  /** Bytes of guest-physical memory that are needed. */
  readonly bytes: number;
}

const KERNEL_MAP = 0xffff_ffff_8000_0000n;
const DIRECT_MAP = 0xffff_8880_0000_0000n;
const DIRECT_MAP_5 = 0xff11_0000_0000_0000n;
const BANNER = 'Linux version 6.1.0-sample (xenctrl) #1 SMP PREEMPT_DYNAMIC\n';

const SYMBOLS = {
  entry_SYSCALL_64: 0xffff_ffff_8100_0040n,
  linux_banner: 0xffff_ffff_8110_0100n,
  init_top_pgt: 0xffff_ffff_8120_0000n,
  init_task: 0xffff_ffff_8120_2940n,
} as const;

const TASK = { size: 192, tasks: 16, mm: 32, pid: 40, tgid: 44, real_parent: 48, group_leader: 64, cred: 72, comm: 80 };
const MM_PGD = 8;
const CRED_UID = 8;

const PROCESSES: readonly SampleProcess[] = [
  { pid: 1, ppid: 0, uid: 0, comm: 'systemd' },
  { pid: 2, ppid: 0, uid: 0, comm: 'kthreadd', kernel: true },
  { pid: 3, ppid: 2, uid: 0, comm: 'rcu_gp', kernel: true },
  { pid: 412, ppid: 1, uid: 0, comm: 'sshd' },
  { pid: 977, ppid: 1, uid: 33, comm: 'nginx' },
  { pid: 1204, ppid: 412, uid: 1000, comm: 'bash' },
];

/** Physical addresses: tables from 1 MiB on, tasks from 2 MiB on, programs from 4 MiB on. */
const TABLES = 0x10_0000;
const TASKS = 0x20_0000;
const PROGRAMS = 0x40_0000;
const TASK_STRIDE = 0x1a80;
/** Where each program is mapped, and what is there: the name of its process. */
const PROGRAM = 0x40_0000n;
const P = 0x067n;
const PS = 0x1e3n;
const NX = 1n << 63n;

/**
 * Lays a Linux out in memory of zeroes.
 *
 * @param write puts bytes at a guest-physical address
 */
export function sampleLinux(write: (address: number, bytes: Uint8Array) => void, options: SampleOptions = {}): Sample {
  const { virtualShift = 0x1a00_0000, physicalShift = 0x60_0000, fiveLevels = false, processes = PROCESSES } = options;
  const direct = fiveLevels ? DIRECT_MAP_5 : DIRECT_MAP;
  const physical = (symbol: bigint): number => Number(symbol - KERNEL_MAP) + physicalShift;
  const virtual = (symbol: bigint): bigint => symbol + BigInt(virtualShift);
  const put = (address: number, value: bigint): void => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
    write(address, bytes);
  };
  const text = (address: number, value: string): void => write(address, Buffer.from(value));

  const root = physical(SYMBOLS.init_top_pgt);
  const tables = new Tables(put, TABLES, fiveLevels ? 5 : 4);
  const bytes = Math.max(physical(SYMBOLS.init_task) + 0x40_0000, PROGRAMS + processes.length * 4096);
  const kernelSize = Number(SYMBOLS.init_task - KERNEL_MAP) + 0x20_0000;
  for (let at = 0; at < bytes; at += 0x20_0000) tables.map(root, direct + BigInt(at), BigInt(at) | PS | NX, 2);
  for (let at = 0x100_0000; at < kernelSize; at += 0x20_0000) {
    tables.map(root, virtual(KERNEL_MAP + BigInt(at)), BigInt(at + physicalShift) | PS, 2);
  }

  const all: readonly SampleProcess[] = [{ pid: 0, ppid: 0, uid: 0, comm: 'swapper/0', kernel: true }, ...processes];
  const tasks = all.map((_, i) => (i === 0 ? physical(SYMBOLS.init_task) : TASKS + i * TASK_STRIDE));
  const linear = tasks.map((at, i) => (i === 0 ? virtual(SYMBOLS.init_task) : direct + BigInt(at)));
  const neighbour = (i: number): bigint => (linear[(i + all.length) % all.length] as bigint) + BigInt(TASK.tasks);
  all.forEach(({ pid, ppid, uid, comm, kernel }, i) => {
    const at = tasks[i] as number;
    const parent = all.findIndex((one) => one.pid === ppid);
    put(at + TASK.tasks, neighbour(i + 1));
    put(at + TASK.tasks + 8, neighbour(i - 1));
    put(at + TASK.pid, BigInt(pid) | (BigInt(pid) << 32n));
    put(at + TASK.real_parent, linear[Math.max(0, parent)] as bigint);
    put(at + TASK.real_parent + 8, linear[Math.max(0, parent)] as bigint);
    put(at + TASK.group_leader, linear[i] as bigint);
    text(at + TASK.comm, comm.slice(0, 15));
    // its credentials and its mm_struct follow it
    const mm = TASKS + i * TASK_STRIDE + 0x800;
    const cred = mm + 0x40;
    put(at + TASK.cred, direct + BigInt(cred));
    put(cred + CRED_UID, BigInt(uid));
    if (kernel === true) return;
    const pgd = tables.table();
    tables.copyUpperHalf(root, pgd);
    put(at + TASK.mm, direct + BigInt(mm));
    put(mm + MM_PGD, direct + BigInt(pgd));
    const program = PROGRAMS + i * 4096;
    tables.map(pgd, PROGRAM, BigInt(program) | P, 1);
    text(program, `${comm}\0`);
  });
  text(physical(SYMBOLS.linux_banner), BANNER);
  return {
    profile: JSON.stringify(profile()),
    registers: {
      cr0: 0x8005_0033n,
      cr3: BigInt(root),
      cr4: fiveLevels ? 0x1020n : 0x20n,
      msr_efer: 0xd01n,
      msr_lstar: virtual(SYMBOLS.entry_SYSCALL_64),
    },
    tasks,
    bytes,
  };
}

/** Page tables in the making. What was written is remembered, so that nothing has to be read back. */
class Tables {
  readonly #put: (address: number, value: bigint) => void;
  readonly #levels: number;
  readonly #entries = new Map<number, bigint>();
  #next: number;

  constructor(put: (address: number, value: bigint) => void, first: number, levels: number) {
    this.#put = put;
    this.#next = first;
    this.#levels = levels;
  }

  /** A new table. */
  table(): number {
    this.#next += 4096;
    return this.#next - 4096;
  }

  map(root: number, address: bigint, entry: bigint, leaf: number): void {
    let table = root;
    for (let level = this.#levels; ; level--) {
      const at = table + Number((address >> BigInt(3 + 9 * level)) & 0x1ffn) * 8;
      if (level === leaf) {
        this.#set(at, entry);
        return;
      }
      if (!this.#entries.has(at)) this.#set(at, BigInt(this.table()) | P);
      table = Number((this.#entries.get(at) as bigint) & ~0xfffn);
    }
  }

  copyUpperHalf(from: number, to: number): void {
    for (let i = 256; i < 512; i++) {
      const entry = this.#entries.get(from + i * 8);
      if (entry !== undefined) this.#set(to + i * 8, entry);
    }
  }

  #set(at: number, entry: bigint): void {
    this.#entries.set(at, entry);
    this.#put(at, entry);
  }
}

function profile(): object {
  const base = (name: string) => ({ kind: 'base', name });
  const struct = (name: string) => ({ kind: 'struct', name });
  const pointer = (to: object) => ({ kind: 'pointer', subtype: to });
  const int = { size: 4, signed: true, kind: 'int', endian: 'little' };
  const task = pointer(struct('task_struct'));
  return {
    metadata: { format: '6.2.0', producer: { name: 'xenctrl sample', version: '1' }, linux: {} },
    base_types: {
      int,
      'unsigned int': { ...int, signed: false },
      char: { size: 1, signed: true, kind: 'char', endian: 'little' },
      'long unsigned int': { ...int, size: 8, signed: false },
      pointer: { ...int, size: 8, signed: false },
      void: { ...int, size: 0, kind: 'void' },
    },
    user_types: {
      list_head: {
        kind: 'struct',
        size: 16,
        fields: {
          next: { offset: 0, type: pointer(struct('list_head')) },
          prev: { offset: 8, type: pointer(struct('list_head')) },
        },
      },
      task_struct: {
        kind: 'struct',
        size: TASK.size,
        fields: {
          tasks: { offset: TASK.tasks, type: struct('list_head') },
          mm: { offset: TASK.mm, type: pointer(struct('mm_struct')) },
          pid: { offset: TASK.pid, type: base('int') },
          tgid: { offset: TASK.tgid, type: base('int') },
          real_parent: { offset: TASK.real_parent, type: task },
          parent: { offset: TASK.real_parent + 8, type: task },
          group_leader: { offset: TASK.group_leader, type: task },
          cred: { offset: TASK.cred, type: pointer(struct('cred')) },
          comm: { offset: TASK.comm, type: { kind: 'array', count: 16, subtype: base('char') } },
        },
      },
      // as in Linux, most of mm_struct is a structure without a name
      mm_struct: {
        kind: 'struct',
        size: 16,
        fields: { unnamed_field_0: { offset: 0, type: struct('unnamed_mm'), anonymous: true } },
      },
      unnamed_mm: {
        kind: 'struct',
        size: 16,
        fields: { pgd: { offset: MM_PGD, type: pointer(base('long unsigned int')) } },
      },
      cred: { kind: 'struct', size: 16, fields: { uid: { offset: CRED_UID, type: struct('kuid_t') } } },
      kuid_t: { kind: 'struct', size: 4, fields: { val: { offset: 0, type: base('unsigned int') } } },
    },
    enums: {},
    symbols: Object.fromEntries(
      Object.entries(SYMBOLS).map(([name, address]) => [
        name,
        {
          // JSON has no integers of 64 bits; readers take the text, too
          address: String(address),
          ...(name === 'linux_banner' ? { constant_data: Buffer.from(BANNER).toString('base64') } : {}),
        },
      ]),
    ),
  };
}
