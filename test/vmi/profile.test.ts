import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Profile } from '#dist/vmi/profile.js';
import { sampleLinux } from '#dist/vmi/sample_linux.js';
import { scratchFolder } from '../scratch.js';

const folder = scratchFolder();
const text = sampleLinux(() => undefined).profile;
const base = (name: string) => ({ kind: 'base', name });

function isf(parts: Record<string, unknown>): Profile {
  const types = {
    int: { size: 4, signed: true, kind: 'int' },
    'unsigned short': { size: 2, signed: false, kind: 'int' },
    char: { size: 1, signed: true, kind: 'char' },
    long: { size: 8, signed: true, kind: 'int' },
    double: { size: 8, signed: true, kind: 'float' },
    odd: { size: 3, signed: true, kind: 'int' },
    pointer: { size: 8, signed: false, kind: 'int' },
  };
  return Profile.parse(JSON.stringify({ metadata: {}, base_types: types, user_types: {}, symbols: {}, ...parts }));
}

test('open: JSON, also compressed by gzip; what is compressed by xz says so', () => {
  const file = (name: string, bytes: Uint8Array | string): string => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  };
  for (const path of [file('a.json', text), file('a.json.gz', gzipSync(text))]) {
    assert.equal(Profile.open(path).symbol('init_task'), 0xffff_ffff_8120_2940n);
  }
  assert.throws(() => Profile.open(file('a.json.xz', Uint8Array.of(0xfd, 0x37, 0x7a))), /unxz/);
  assert.throws(() => Profile.open(join(folder, 'none')), { code: 'ENOENT' });
});

for (const [what, json] of [
  ['no JSON', '{'],
  ['a list', '[]'],
  ['null', 'null'],
  ['without symbols', '{"metadata":{},"base_types":{},"user_types":{}}'],
  ['types that are a list', '{"metadata":{},"base_types":{},"user_types":[],"symbols":{}}'],
] as const) {
  test(`parse: ${what} is no profile`, () => {
    assert.throws(() => Profile.parse(json), { name: 'ProfileError', code: 'ERR_XENCTRL_PROFILE' });
  });
}

test('symbol: all 64 bits, however the file writes them', () => {
  const symbols =
    '"a":{"address":18446744071579009088},"b":{"address": -2130542528 },"c":{"address":"4096"},"d":{"address":7}';
  const profile = Profile.parse(
    `{"metadata":{},"base_types":{},"user_types":{},"symbols":{${symbols},"e":{"address":{}}}}`,
  );
  assert.equal(profile.symbol('a'), 18446744071579009088n);
  assert.equal(profile.symbol('b'), 0xffff_ffff_8102_8040n);
  assert.deepEqual([profile.symbol('c'), profile.symbol('d')], [4096n, 7n]);
  assert.throws(() => profile.symbol('e'), /no number/);
  assert.throws(() => profile.symbol('toString'), /no symbol 'toString'/);
  assert.equal(profile.hasSymbol('constructor'), false);
});

test('symbolBefore: the nearest below', () => {
  const profile = isf({ symbols: { b: { address: 20 }, a: { address: 10 } } });
  assert.deepEqual(profile.symbolBefore(20n), { name: 'b', offset: 0n });
  assert.deepEqual(profile.symbolBefore(19n), { name: 'a', offset: 9n });
  assert.equal(profile.symbolBefore(9n), null);
});

test('type: offsets within structures, and through those without a name', () => {
  const profile = Profile.parse(text);
  const task = profile.type('task_struct');
  assert.equal(task.offset('tasks.prev'), 24);
  assert.equal(profile.type('mm_struct').offset('pgd'), 8);
  assert.equal(profile.type('cred').offset('uid.val'), 8);
  assert.equal(task.has('nothing'), false);
  assert.equal(task.has('pid.more'), false);
  assert.equal(task.has('hasOwnProperty'), false);
  assert.throws(() => task.offset('tasks.nothing'), /'task_struct' has no field 'tasks\.nothing'/);
  assert.throws(() => profile.type('nothing'), /no structure 'nothing'/);
  assert.equal(profile.type('task_struct'), task);
});

test('field, layout: how each kind is read', () => {
  const enums = { state: { size: 4, base: 'int', constants: { dead: 4 } } };
  const at = (offset: number, type: object) => ({ offset, type });
  const fields = {
    int: at(0, base('int')),
    short: at(4, base('unsigned short')),
    long: at(8, base('long')),
    pointer: at(16, { kind: 'pointer', subtype: base('void') }),
    state: at(24, { kind: 'enum', name: 'state' }),
    name: at(28, { kind: 'array', count: 12, subtype: base('char') }),
    ints: at(40, { kind: 'array', count: 3, subtype: { kind: 'array', count: 2, subtype: base('int') } }),
    inner: at(64, { kind: 'struct', name: 'pair' }),
    flag: at(72, { kind: 'bitfield', bit_position: 1, bit_length: 2, type: base('int') }),
    real: at(80, base('double')),
    odd: at(88, base('odd')),
  };
  const pair = { kind: 'struct', size: 8, fields: {} };
  const profile = isf({ enums, user_types: { all: { kind: 'struct', size: 96, fields }, pair } });
  const all = profile.type('all');
  assert.deepEqual(all.layout(['int', 'short', 'long', 'pointer', 'state', 'name', 'ints', 'inner']), {
    int: [0, 'i32'],
    short: [4, 'u16'],
    long: [8, 'i64'],
    pointer: [16, 'pointer'],
    state: [24, 'u32'],
    name: [28, 'string', 12],
    ints: [40, 'bytes', 24],
    inner: [64, 'bytes', 8],
  });
  assert.equal(profile.enumValue('state', 'dead'), 4);
  assert.throws(() => profile.enumValue('state', 'alive'), /no constant 'alive'/);
  assert.throws(() => all.field('flag'), /bitfield/);
  assert.throws(() => all.field('odd'), /no integer that is known/);
});

test('type: a structure that is within itself', () => {
  const within = { a: { offset: 0, type: { kind: 'struct', name: 'self' }, anonymous: true } };
  const profile = isf({ user_types: { self: { kind: 'struct', size: 8, fields: within } } });
  assert.throws(() => profile.type('self').has('x'), /within itself/);
});
