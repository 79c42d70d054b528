import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import type { Addon } from '#dist/native/addon.js';
import type { NativeEsp } from '#dist/native/esp.js';
import { loadAddon } from '#dist/native/load.js';

const { addon } = loadAddon();
const [key, salt, authKey] = [16, 4, 32].map((length) => new Uint8Array(length)) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
const RESULT = 5;

function open(): NativeEsp {
  const native = (addon as Addon).openEsp(true, 0, key, salt, 16, false);
  ok(typeof native !== 'number');
  return native;
}

test('openEsp: what cannot be a key gives -EINVAL', () => {
  const wrong: readonly (readonly unknown[])[] = [
    [],
    [1, 0, key, salt, 16, false],
    [true, 2, key, salt, 16, false],
    [true, -1, key, salt, 16, false],
    [true, 0, key.subarray(1), salt, 16, false],
    [true, 0, new Uint8Array(0), salt, 16, false],
    [true, 0, new Uint16Array(16), salt, 16, false],
    [true, 0, key, authKey, 16, false],
    [true, 0, key, salt, 10, false],
    [true, 0, key, salt, 1e9, false],
    [true, 0, key, salt, 16, 0],
    [true, 1, key, salt, 16, false],
    [true, 1, key, authKey, 12, false],
  ];
  const openEsp = (addon as Addon).openEsp as (...args: readonly unknown[]) => unknown;
  for (const args of wrong) equal(openEsp(...args), -22);
});

test('seal: jobs and arguments that cannot be are refused, and nothing is written', () => {
  const native = open();
  const jobs = new Int32Array(native.jobs);
  const out = new Uint8Array(200);
  const seal = native.seal as (...args: readonly unknown[]) => unknown;
  const result = (words: readonly number[], ...args: readonly unknown[]) => {
    jobs.set(words);
    jobs[RESULT] = 1;
    seal(...args);
    return jobs[RESULT];
  };
  const good = [0, 50, 0, 4, 16, 0, 0, 0];
  const with_ = (word: number, value: number) => good.map((old, i) => (i === word ? value : old));
  const bytes = new Uint8Array(50);
  const before = out.slice();
  for (const words of [
    with_(0, 1),
    with_(0, -1),
    with_(1, 51),
    with_(1, -1),
    with_(4, 15),
    with_(4, 97),
    with_(4, -1),
    with_(6, 201),
    with_(6, -1),
    with_(6, 190),
  ]) {
    const rc = result(words, bytes, out, 1) as number;
    ok(rc === -22 || rc === -28, `${words}: ${rc}`);
  }
  for (const args of [
    [new Uint16Array(50), out, 1],
    [bytes, 'out', 1],
    [bytes, new DataView(out.buffer), 1],
  ]) {
    equal(result(good, ...args), -22);
  }
  for (const args of [[], [bytes, out], [bytes, out, 33], [bytes, out, -1], [bytes, out, 'one']]) {
    equal(result(good, ...args), 1, 'no job is done');
  }
  deepEqual(out, before);
  ok((result(good, bytes, out, 1) as number) > 50);
  native.close();
  equal(native.jobs.byteLength, 0);
  seal(bytes, out, 1);
  equal(native.close(), 0);
});

test('a handle that is forgotten goes with its functions', () => {
  for (let i = 0; i < 200; i++) open();
});
