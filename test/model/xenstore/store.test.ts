/** The model's store against a naive one, over the wire; and what domains other than 0 may do. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { ModelXenstore } from '#dist/model/index.js';
import { Xenstore, XenstoreError, type XenstoreOperations } from '#dist/xenstore/index.js';

/** A store as one would write it down on paper: every path with its value. */
class PaperStore {
  nodes = new Map<string, string>([
    ['/', ''],
    ['/t', ''],
  ]);

  do(step: Step): string {
    const { path } = step;
    switch (step.kind) {
      case 'read':
        return this.nodes.get(path) ?? 'ENOENT';
      case 'directory':
        return this.nodes.has(path) ? this.#children(path).sort().join() : 'ENOENT';
      case 'write':
        this.#make(path);
        this.nodes.set(path, step.value);
        return 'ok';
      case 'mkdir':
        this.#make(path);
        return 'ok';
      case 'rm':
        return this.#remove(path);
    }
  }

  #children(path: string): string[] {
    return [...this.nodes.keys()]
      .filter((one) => above(one) === path)
      .map((one) => one.slice(one.lastIndexOf('/') + 1));
  }

  #make(path: string): void {
    if (this.nodes.has(path)) return;
    this.#make(above(path));
    this.nodes.set(path, '');
  }

  #remove(path: string): string {
    if (!this.nodes.has(path)) return this.nodes.has(above(path)) ? 'ok' : 'ENOENT';
    for (const one of [...this.nodes.keys()]) if (one === path || one.startsWith(`${path}/`)) this.nodes.delete(one);
    return 'ok';
  }
}

function above(path: string): string {
  return path === '/' ? '' : path.slice(0, path.lastIndexOf('/')) || '/';
}

interface Step {
  readonly kind: 'read' | 'directory' | 'write' | 'mkdir' | 'rm';
  readonly path: string;
  readonly value: string;
}

async function onStore(store: XenstoreOperations, { kind, path, value }: Step): Promise<string> {
  try {
    if (kind === 'read') return await store.read(path);
    if (kind === 'directory') return (await store.directory(path)).sort().join();
    if (kind === 'write') await store.write(path, value);
    else await store[kind](path);
    return 'ok';
  } catch (error) {
    if (error instanceof XenstoreError) return error.code;
    throw error;
  }
}

const path = fc
  .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 })
  .map((names) => `/t/${names.join('/')}`);
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('read', 'directory', 'write', 'mkdir', 'rm'),
  path,
  value: fc.string({ maxLength: 5 }),
});

test('any sequence of requests gives what the naive store gives', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      using store = Xenstore.over(new ModelXenstore().connect());
      await store.mkdir('/t');
      const paper = new PaperStore();
      for (const one of steps) assert.equal(await onStore(store, one), paper.do(one), JSON.stringify(one));
    }),
    { numRuns: 60 },
  );
});

test('transactions that commit are as if each had run alone, in the order of their commits', async () => {
  const part = fc.record({ who: fc.nat({ max: 2 }), step, end: fc.integer({ min: 0, max: 5 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 40 }), async (parts) => {
      const model = new ModelXenstore();
      using store = Xenstore.over(model.connect());
      await store.mkdir('/t');
      const paper = new PaperStore();
      const open = await Promise.all(
        [0, 1, 2].map(async () => ({ transaction: await store.beginTransaction(), done: [] as [Step, string][] })),
      );
      for (const { who, step: one, end } of parts) {
        const session = open[who];
        assert.ok(session);
        session.done.push([one, await onStore(session.transaction, one)]);
        if (end !== 0) continue;
        const committed = await session.transaction.commit().then(
          () => true,
          () => false,
        );
        // what it was told while it ran is what it would have been told at the moment of its commit
        if (committed) for (const [was, told] of session.done) assert.equal(paper.do(was), told, JSON.stringify(was));
        open[who] = { transaction: await store.beginTransaction(), done: [] };
      }
      for (const [at, value] of paper.nodes) if (at !== '/') assert.equal(await store.read(at), value, at);
      for (const at of paper.nodes.keys()) {
        if (at === '/') continue;
        const expected = paper.do({ kind: 'directory', path: at, value: '' });
        assert.equal((await store.directory(at)).sort().join(), expected, at);
      }
    }),
    { numRuns: 150 },
  );
});

async function code(request: Promise<unknown>): Promise<string> {
  try {
    await request;
    return 'ok';
  } catch (error) {
    if (error instanceof XenstoreError) return error.code;
    throw error;
  }
}

test('a domain reads and writes what it may, and makes nodes of its own', async () => {
  const model = new ModelXenstore();
  model.introduce(5);
  using dom0 = Xenstore.over(model.connect());
  using guest = Xenstore.over(model.connect(5));
  await dom0.write('/secret', '1');
  assert.equal(await code(guest.read('/secret')), 'EACCES');
  assert.equal(await code(guest.read('/none/at/all')), 'EACCES');
  assert.equal(await code(guest.write('/local/domain/5/x', '1')), 'EACCES');
  await dom0.write('/local/domain/5/data', '');
  await dom0.setPermissions('/local/domain/5/data', [{ domid: 5, access: 'none' }]);
  assert.equal(await code(guest.write('data/x', '1')), 'ok');
  assert.deepEqual(await guest.getPermissions('data/x'), [{ domid: 5, access: 'none' }]);
  assert.equal(await code(guest.read('data/none')), 'ENOENT');
  assert.equal(await code(guest.setPermissions('data/x', [{ domid: 0, access: 'none' }])), 'EPERM');
  assert.equal(await code(guest.setPermissions('data', [{ domid: 5, access: 'read' }])), 'ok');
  assert.equal(await code(guest.setPermissions('/local/domain/5', [{ domid: 5, access: 'read' }])), 'EACCES');
});

test('quotas hold for domains other than 0', async () => {
  const model = new ModelXenstore({ quota: { nodes: 3, watches: 1, transactions: 1, valueBytes: 4 } });
  model.introduce(5);
  using dom0 = Xenstore.over(model.connect());
  using guest = Xenstore.over(model.connect(5));
  await dom0.setPermissions('/local/domain/5', [{ domid: 5, access: 'none' }]);
  assert.equal(await code(guest.write('a', '12345')), 'ENOSPC');
  assert.equal(await code(guest.write('a/b', '1')), 'ok');
  assert.equal(await code(guest.write('c', '1')), 'ENOSPC');
  await guest.watch('a');
  assert.equal(await code(guest.watch('a/b')), 'E2BIG');
  await guest.beginTransaction();
  assert.equal(await code(guest.beginTransaction()), 'ENOSPC');
});

test('a domain is told of no node that it may not read', async () => {
  const model = new ModelXenstore();
  model.introduce(5);
  using dom0 = Xenstore.over(model.connect());
  using guest = Xenstore.over(model.connect(5));
  await using watch = await guest.watch('/');
  await watch.next();
  await dom0.write('/secret', '1');
  await dom0.write('/local/domain/5/seen', '1');
  assert.equal((await watch.next()).value?.path, '/local/domain/5/seen');
});

test('domains that come and go are told to dom0', async () => {
  const model = new ModelXenstore();
  using dom0 = Xenstore.over(model.connect());
  await using came = await dom0.watch('@introduceDomain');
  await using went = await dom0.watch('@releaseDomain');
  await Promise.all([came.next(), went.next()]);
  model.introduce(9);
  model.release(9);
  assert.equal((await came.next()).value?.path, '@introduceDomain');
  assert.equal((await went.next()).value?.path, '@releaseDomain');
});

const tools = existsSync('/usr/bin/xenstore-ls') && existsSync('/usr/bin/xenstore-write');

test("Debian's own xenstore tools find the model's store on a socket", {
  skip: tools ? false : 'no xenstore-utils',
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenctrl-xenstore-'));
  const socket = join(folder, 'socket');
  const model = new ModelXenstore();
  const server = await model.serve(socket);
  try {
    const run = promisify(execFile);
    const env = { ...process.env, XENSTORED_PATH: socket, LD_PRELOAD: '' };
    await run('xenstore-write', ['/tool/greeting', 'hello', '/tool/other/deep', '2'], { env });
    using store = await Xenstore.open({ path: socket });
    assert.equal(await store.read('/tool/greeting'), 'hello');
    await store.write('/tool/answer', '42');
    const { stdout } = await run('xenstore-ls', ['/tool'], { env });
    assert.deepEqual(stdout.trim().split('\n'), ['greeting = "hello"', 'other = ""', ' deep = "2"', 'answer = "42"']);
    await run('xenstore-rm', ['/tool/other'], { env });
    assert.deepEqual(await store.directory('/tool'), ['greeting', 'answer']);
    await run('xenstore-chmod', ['/tool/answer', 'n0', 'r3'], { env });
    assert.deepEqual(await store.getPermissions('/tool/answer'), [
      { domid: 0, access: 'none' },
      { domid: 3, access: 'read' },
    ]);
  } finally {
    server[Symbol.dispose]();
    rmSync(folder, { recursive: true });
  }
});
