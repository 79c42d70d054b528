/** Profiles made of BTF and kallsyms. A real kernel's: scripts/linux-image.mjs. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { linuxProfile, Profile, ProfileError } from '#dist/vmi/index.js';

const INT = 1;
const PTR = 2;
const ARRAY = 3;
const STRUCT = 4;
const UNION = 5;
const ENUM = 6;
const FWD = 7;
const TYPEDEF = 8;
const CONST = 10;
const FUNC_PROTO = 13;
const ENUM64 = 19;

interface Type {
  readonly kind: number;
  readonly name?: string;
  /** Or the type that it refers to. */
  readonly size?: number;
  readonly flag?: boolean;
  readonly members?: number;
  /** 32-bit words behind it; text stands for its place among the strings. */
  readonly extra?: readonly (number | string)[];
}

/** BTF as a kernel has it. Types are numbered from 1. */
function btf(types: readonly Type[]): Uint8Array {
  const strings = new Map([['', 0]]);
  let text = '\0';
  const at = (name: string): number => {
    if (!strings.has(name)) {
      strings.set(name, text.length);
      text += `${name}\0`;
    }
    return strings.get(name) ?? 0;
  };
  const words = types.flatMap(({ kind, name = '', size = 0, flag = false, members = 0, extra = [] }) => [
    at(name),
    (flag ? 2 ** 31 : 0) + (kind << 24) + members,
    size,
    ...extra.map((word) => (typeof word === 'string' ? at(word) : word)),
  ]);
  const header = [0x0001_eb9f, 24, 0, words.length * 4, words.length * 4, text.length];
  return Buffer.concat([Buffer.from(new Uint32Array([...header, ...words]).buffer), Buffer.from(text)]);
}

const SIGNED_32 = (1 << 24) | 32;
const TYPES: readonly Type[] = [
  { kind: INT, name: 'int', size: 4, extra: [SIGNED_32] }, // 1
  { kind: INT, name: 'char', size: 1, extra: [8] }, // 2
  { kind: INT, name: 'long unsigned int', size: 8, extra: [64] }, // 3
  { kind: TYPEDEF, name: 'pid_t', size: 1 }, // 4
  { kind: CONST, size: 4 }, // 5
  { kind: ARRAY, extra: [2, 3, 16] }, // 6
  { kind: PTR, size: 8 }, // 7: to the structure itself
  {
    kind: STRUCT, // 8
    name: 'task',
    size: 48,
    flag: true,
    members: 7,
    extra: [
      ...['pid', 5, 0],
      ...['flag_a', 1, (1 << 24) | 32],
      ...['flag_b', 1, (3 << 24) | 33],
      ...['parent', 7, 64],
      ...['comm', 6, 128],
      ...['', 9, 256],
      ...['state', 10, 320],
    ],
  },
  { kind: UNION, size: 8, members: 2, extra: ['inner', 3, 0, 'call', 11, 0] }, // 9
  { kind: ENUM, name: 'state', size: 4, members: 2, extra: ['RUNNING', 0, 'GONE', 0xffff_ffff] }, // 10
  { kind: PTR, size: 12 }, // 11
  { kind: FUNC_PROTO, size: 1, members: 1, extra: ['', 1] }, // 12
  { kind: ENUM64, name: 'wide', size: 8, members: 1, extra: ['FAR', 0, 1] }, // 13
  { kind: FWD, name: 'elsewhere' }, // 14
  { kind: STRUCT, name: 'task', size: 4, members: 1, extra: ['pid', 1, 0] }, // 15: a driver's own of that name
];
const KALLSYMS = `0000000000000000 A fixed_percpu_data
ffffffff9b200000 T _text
ffffffff9b200040 T entry
ffffffff9c402940 D init_task
ffffffff9b200040 t of_a_module\t[ext4]
ffffffff9b200080 t twice
ffffffff9b200090 t twice
ffffffff9b300100 D linux_banner
`;

test('structures, bit fields, what has no name, enumerations, symbols as linked', () => {
  const json = linuxProfile({ btf: btf(TYPES), symbols: KALLSYMS, banner: 'Linux version 6.1 #1\n' });
  const profile = Profile.parse(json);
  const task = profile.type('task');
  assert.equal(task.size, 48);
  assert.deepEqual(task.layout(['pid', 'parent', 'comm', 'inner', 'call', 'state']), {
    pid: [0, 'i32'],
    parent: [8, 'pointer'],
    comm: [16, 'string', 16],
    inner: [32, 'u64'],
    call: [32, 'pointer'],
    state: [40, 'u32'],
  });
  assert.deepEqual(JSON.parse(json).user_types.task.fields.flag_b, {
    offset: 4,
    type: { kind: 'bitfield', bit_position: 1, bit_length: 3, type: { kind: 'base', name: 'int' } },
  });
  assert.equal(profile.enumValue('state', 'GONE'), -1);
  assert.equal(profile.enumValue('wide', 'FAR'), 2 ** 32);
  assert.equal(profile.symbol('_text'), 0xffff_ffff_8100_0000n);
  assert.equal(profile.symbol('init_task'), 0xffff_ffff_8220_2940n);
  assert.equal(profile.symbol('twice'), 0xffff_ffff_8100_0080n);
  assert.equal(profile.symbol('fixed_percpu_data'), 0n);
  assert.equal(profile.hasSymbol('of_a_module'), false);
  assert.equal(Buffer.from(profile.constant('linux_banner') ?? []).toString(), 'Linux version 6.1 #1\n\0');
});

test('what is no kernel’s is refused', () => {
  const good = btf(TYPES);
  for (const [parts, message] of [
    [{ btf: new Uint8Array(100), symbols: KALLSYMS }, /no BTF/],
    [{ btf: good, symbols: 'nothing' }, /no _text/],
    [{ btf: good, symbols: '0000000000000000 T _text\n' }, /kptr_restrict/],
    [
      {
        btf: btf([
          { kind: PTR, name: 'a', size: 99 },
          { kind: STRUCT, size: 8, members: 1, extra: ['x', 1, 0] },
        ]),
        symbols: KALLSYMS,
      },
      /no type 99/,
    ],
    [
      {
        btf: btf([
          { kind: TYPEDEF, name: 'a', size: 1 },
          { kind: STRUCT, size: 8, members: 1, extra: ['x', 1, 0] },
        ]),
        symbols: KALLSYMS,
      },
      /refers to itself/,
    ],
  ] as const) {
    assert.throws(
      () => linuxProfile(parts),
      (error) => error instanceof ProfileError && message.test(error.message),
    );
  }
});

test('BTF that is cut off or damaged ends in a ProfileError, if in an error', () => {
  const good = btf(TYPES);
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), fc.boolean(), (at, byte, cut) => {
      const bytes = cut ? good.slice(0, at) : good.slice();
      if (!cut) bytes[at] = byte;
      try {
        linuxProfile({ btf: bytes, symbols: KALLSYMS });
      } catch (error) {
        assert.ok(error instanceof ProfileError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});

const HERE = '/sys/kernel/btf/vmlinux';

test('the kernel that runs here', { skip: existsSync(HERE) ? false : 'it has no BTF' }, () => {
  const profile = Profile.parse(linuxProfile({ btf: readFileSync(HERE), symbols: KALLSYMS }));
  const { comm, pid } = profile.type('task_struct').layout(['comm', 'pid']);
  assert.deepEqual([comm?.[1], comm?.[2], pid?.[1]], ['string', 16, 'i32']);
  assert.equal(profile.type('list_head').size, 16);
});
