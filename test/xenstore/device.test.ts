/** The addon's way to xenstore's device, on a FIFO: what is written to it comes back. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadAddon } from '#dist/native/load.js';
import { isXenstoreError, Xenstore } from '#dist/xenstore/index.js';

const loaded = loadAddon();
const skip = loaded.addon === null ? loaded.reason : false;

function fifo(use: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'xenctrl-xenbus-'));
  const path = join(folder, 'xenbus');
  execFileSync('mkfifo', [path], { env: { ...process.env, LD_PRELOAD: '' } });
  return use(path).finally(() => rmSync(folder, { recursive: true }));
}

test('an echo is an answer: the payload of a read is the path', { skip }, () =>
  fifo(async (path) => {
    using store = await Xenstore.open({ path });
    assert.equal(store.name, path);
    assert.equal(await store.read('/a/b'), '/a/b\0');
    const many = Array.from({ length: 50 }, (_, i) => `/${i}/${'x'.repeat(800)}`);
    assert.deepEqual(
      await Promise.all(many.map((one) => store.read(one))),
      many.map((one) => `${one}\0`),
    );
    store.close();
    store.close();
    await assert.rejects(store.read('/a'), (error) => isXenstoreError(error, 'ENOTCONN'));
  }),
);

test('a device that is not there is ENOENT, and says where one would be', { skip }, async () => {
  await assert.rejects(Xenstore.open({ path: '/nowhere/xenbus' }), (error) => isXenstoreError(error, 'ENOENT'));
});

test('wrong arguments of the addon are answered', { skip }, () =>
  fifo(async (path) => {
    const { addon } = loaded;
    assert.ok(addon);
    for (const wrong of [undefined, null, 7, '', 'a\0b', {}]) assert.equal(addon.openXenbus(wrong as string), -22);
    const handle = addon.openXenbus(path);
    assert.ok(typeof handle === 'object');
    for (const wrong of [undefined, null, 7, 'text', new Uint16Array(4), new ArrayBuffer(4)]) {
      assert.equal(handle.read(wrong as never), -22);
      assert.equal(handle.write(wrong as never), -22);
      if (wrong !== null) assert.equal(handle.onReadable(wrong as never), -22);
    }
    assert.equal(handle.read(new Uint8Array(8)), -11);
    assert.equal(handle.close(), 0);
    assert.equal(handle.close(), 0);
    assert.equal(handle.read(new Uint8Array(8)), -9);
    assert.equal(handle.write(new Uint8Array(8)), -9);
    assert.equal(handle.onReadable(null), -9);
  }),
);
