/**
 * The xenstore client on the model's store, and on Xen's own daemons: `XENCTRL_TEST_TARGET=privcmd` in a dom0 that has no
 * xenstored yet starts xenstored and then oxenstored, those of Debian's xen-utils-4.17.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ModelXenstore } from '#dist/model/index.js';
import { isXenstoreError, Xenstore, type XenstoreWatch } from '#dist/xenstore/index.js';
import { targetKind } from './target.js';
import { noXenstored, SOCKET, startXenstored } from './xenstored.js';

interface Daemon {
  readonly name: string;
  readonly skip: string | false;
  start(): Promise<void>;
  open(): Promise<Xenstore>;
  stop(): Promise<void>;
}

function modelDaemon(): Daemon {
  const model = new ModelXenstore();
  return {
    name: 'model',
    skip: false,
    start: async () => {},
    open: async () => Xenstore.over(model.connect()),
    stop: async () => {},
  };
}

/** @param device through /dev/xen/xenbus instead of the socket */
function realDaemon(program: string, device: boolean): Daemon {
  let child: AsyncDisposable | undefined;
  const skip = noXenstored(program);
  return {
    name: `${program}${device ? ' by /dev/xen/xenbus' : ''}`,
    skip,
    async start() {
      child = await startXenstored(program);
    },
    open: () => Xenstore.open({ path: device ? '/dev/xen/xenbus' : SOCKET }),
    async stop() {
      await child?.[Symbol.asyncDispose]();
    },
  };
}

const kind = targetKind();
const daemons =
  kind === 'model'
    ? [modelDaemon()]
    : [realDaemon('xenstored', false), realDaemon('oxenstored', false), realDaemon('xenstored', true)];

const TOP = '/xenctrl-test';

/** The code of a request that must fail, or 'ok'. */
async function outcome(request: Promise<unknown>): Promise<string> {
  try {
    await request;
    return 'ok';
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'operation' in error) return String(error.code);
    throw error;
  }
}

/** The next change, or null when none comes soon. */
async function nextChange(watch: XenstoreWatch, ms = 5000): Promise<string | null> {
  const late = new AbortController();
  const change = await Promise.race([
    watch.next().then((result) => (result.done ? 'ended' : result.value.path)),
    sleep(ms, null, { signal: late.signal }).catch(() => null),
  ]);
  late.abort();
  return change;
}

for (const daemon of daemons) {
  describe(`xenstore on ${daemon.name}`, { skip: daemon.skip }, () => {
    let store: Xenstore;
    before(async () => {
      await daemon.start();
      store = await daemon.open();
      await store.rm(TOP).catch(() => {});
    });
    after(async () => {
      await store.rm(TOP).catch(() => {});
      store.close();
      await daemon.stop();
    });

    test('a value is read as it was written, whatever its bytes', async () => {
      const every = Uint8Array.from({ length: 256 }, (_, i) => i);
      await store.write(`${TOP}/bytes`, every);
      assert.deepEqual(await store.readBytes(`${TOP}/bytes`), every);
      await store.write(`${TOP}/text`, 'grüße');
      assert.equal(await store.read(`${TOP}/text`), 'grüße');
      await store.write(`${TOP}/empty`, '');
      assert.equal(await store.read(`${TOP}/empty`), '');
    });

    test('write makes the nodes above it; mkdir leaves a value alone', async () => {
      await store.write(`${TOP}/a/b/c`, 'deep');
      assert.equal(await store.read(`${TOP}/a/b`), '');
      await store.mkdir(`${TOP}/a/b/c`);
      assert.equal(await store.read(`${TOP}/a/b/c`), 'deep');
      await store.mkdir(`${TOP}/a/new`);
      assert.deepEqual((await store.directory(`${TOP}/a`)).sort(), ['b', 'new']);
      assert.deepEqual(await store.directory(`${TOP}/a/new`), []);
    });

    test('what is not there is ENOENT; rm of it is not, when what is above it is', async () => {
      await store.mkdir(TOP);
      assert.equal(await outcome(store.read(`${TOP}/none`)), 'ENOENT');
      assert.equal(await outcome(store.directory(`${TOP}/none`)), 'ENOENT');
      assert.equal(await outcome(store.getPermissions(`${TOP}/none`)), 'ENOENT');
      assert.equal(await outcome(store.rm(`${TOP}/none`)), 'ok');
      assert.equal(await outcome(store.rm(`${TOP}/none/below`)), 'ENOENT');
      assert.equal(await store.readIfThere(`${TOP}/none`), undefined);
    });

    test('rm takes all below with it', async () => {
      await store.write(`${TOP}/gone/x/y`, '1');
      await store.rm(`${TOP}/gone`);
      assert.equal(await outcome(store.read(`${TOP}/gone/x/y`)), 'ENOENT');
    });

    test('permissions are those that were set', async () => {
      await store.write(`${TOP}/shared`, '1');
      const list = [
        { domid: 0, access: 'none' },
        { domid: 7, access: 'both' },
        { domid: 8, access: 'read' },
      ] as const;
      await store.setPermissions(`${TOP}/shared`, list);
      assert.deepEqual(await store.getPermissions(`${TOP}/shared`), list);
    });

    test('a folder of more names than a message holds is listed whole', async () => {
      const names = Array.from({ length: 600 }, (_, i) => `a-rather-long-name-of-a-node-${i}`);
      await Promise.all(names.map((name) => store.write(`${TOP}/many/${name}`, name)));
      assert.deepEqual((await store.directory(`${TOP}/many`)).sort(), names.sort());
      await store.rm(`${TOP}/many`);
    });

    test('a hundred requests under way get their own answers', async () => {
      const numbers = Array.from({ length: 100 }, (_, i) => i);
      await Promise.all(numbers.map((i) => store.write(`${TOP}/flight/${i}`, String(i * i))));
      const read = await Promise.all(numbers.map((i) => store.read(`${TOP}/flight/${i}`)));
      assert.deepEqual(
        read,
        numbers.map((i) => String(i * i)),
      );
    });

    test('others see nothing of a transaction before its commit, and all after', async () => {
      using other = await daemon.open();
      await store.write(`${TOP}/t/x`, 'before');
      const transaction = await store.beginTransaction();
      await transaction.write(`${TOP}/t/x`, 'after');
      await transaction.write(`${TOP}/t/y`, 'new');
      assert.equal(await transaction.read(`${TOP}/t/x`), 'after');
      assert.equal(await other.read(`${TOP}/t/x`), 'before');
      await transaction.commit();
      assert.equal(await other.read(`${TOP}/t/x`), 'after');
      assert.equal(await other.read(`${TOP}/t/y`), 'new');
    });

    test('an aborted transaction leaves nothing', async () => {
      await assert.rejects(
        store.transaction(async (transaction) => {
          await transaction.write(`${TOP}/aborted`, '1');
          throw new RangeError('no');
        }),
        RangeError,
      );
      assert.equal(await outcome(store.read(`${TOP}/aborted`)), 'ENOENT');
    });

    test('a commit is EAGAIN when another changed what was read, and the helper tries again', async () => {
      using other = await daemon.open();
      await store.write(`${TOP}/counter`, '0');
      const transaction = await store.beginTransaction();
      const value = Number(await transaction.read(`${TOP}/counter`));
      await other.write(`${TOP}/counter`, '10');
      await transaction.write(`${TOP}/counter`, String(value + 1));
      assert.equal(await outcome(transaction.commit()), 'EAGAIN');
      assert.equal(await store.read(`${TOP}/counter`), '10');

      const increment = (by: Xenstore): Promise<void> =>
        by.transaction(
          async (one) => one.write(`${TOP}/counter`, String(Number(await one.read(`${TOP}/counter`)) + 1)),
          { attempts: 100 },
        );
      await Promise.all(Array.from({ length: 8 }, (_, i) => increment(i % 2 === 0 ? store : other)));
      assert.equal(await store.read(`${TOP}/counter`), '18');
    });

    test('a transaction that nobody began is refused', async () => {
      const transaction = await store.beginTransaction();
      await transaction.abort();
      assert.equal(await outcome(transaction.read(TOP)), daemon.name === 'oxenstored' ? 'EIO' : 'ENOENT');
    });

    test('a watch tells its own path first, then what changes at and below it', async () => {
      using other = await daemon.open();
      await store.write(`${TOP}/w/a`, '1');
      await using watch = await store.watch(`${TOP}/w`);
      assert.equal(await nextChange(watch), `${TOP}/w`);
      await other.write(`${TOP}/w/a`, '2');
      assert.equal(await nextChange(watch), `${TOP}/w/a`);
      await other.write(`${TOP}/elsewhere`, '2');
      await other.write(`${TOP}/w/b/c`, '2');
      assert.equal(await nextChange(watch), `${TOP}/w/b/c`);
      await other.rm(`${TOP}/w/b`);
      assert.equal(await nextChange(watch), `${TOP}/w/b`);
    });

    test('a node that goes with one above it is told to who watches it', async () => {
      await store.write(`${TOP}/up/down`, '1');
      await using watch = await store.watch(`${TOP}/up/down`);
      assert.equal(await nextChange(watch), `${TOP}/up/down`);
      await store.rm(`${TOP}/up`);
      assert.equal(await nextChange(watch), `${TOP}/up/down`);
    });

    test('a transaction is told once it is committed', async () => {
      await store.mkdir(`${TOP}/tw`);
      await using watch = await store.watch(`${TOP}/tw`);
      await nextChange(watch);
      await store.transaction(async (transaction) => {
        await transaction.write(`${TOP}/tw/x`, '1');
        await transaction.read(`${TOP}/tw/x`);
      });
      assert.equal(await nextChange(watch), `${TOP}/tw/x`);
    });

    test('a relative watch tells relative paths', async () => {
      await store.write('xenctrl-test/r', '1');
      await using watch = await store.watch('xenctrl-test');
      assert.equal(await nextChange(watch), 'xenctrl-test');
      await store.write('/local/domain/0/xenctrl-test/r', '2');
      assert.equal(await nextChange(watch), 'xenctrl-test/r');
      await store.rm('xenctrl-test');
    });

    test('domains: their path, and whether they are introduced', async () => {
      assert.equal(await store.getDomainPath(0), '/local/domain/0');
      assert.equal(await store.getDomainPath(31), '/local/domain/31');
      assert.equal(await store.isDomainIntroduced(0), true);
      assert.equal(await store.isDomainIntroduced(31), false);
    });

    test('after close requests are ENOTCONN and a watch is over', async () => {
      const other = await daemon.open();
      const watch = await other.watch(TOP);
      await watch.next();
      other.close();
      other.close();
      assert.equal((await watch.next()).done, true);
      await assert.rejects(other.read(TOP), (error) => isXenstoreError(error, 'ENOTCONN'));
    });
  });
}
