import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeXsMessage, type XsMessage, XsMessageReader } from '#dist/abi/xs_message.js';
import * as xs from '#dist/abi/xs_wire.js';
import { isXenstoreError, Xenstore, XenstoreError } from '#dist/xenstore/index.js';
import { Peer, text } from './peer.js';

function connect(onRequest?: (peer: Peer, request: XsMessage) => void): { store: Xenstore; peer: Peer } {
  const peer = new Peer();
  if (onRequest) peer.onRequest = (request) => onRequest(peer, request);
  return { store: Xenstore.over(peer), peer };
}

const answering = (payload: string) => (peer: Peer, request: XsMessage) =>
  peer.give({ type: request.type, reqId: request.reqId, txId: request.txId, payload: text(payload) });

const code =
  (expected: string) =>
  (error: unknown): boolean =>
    isXenstoreError(error, expected);

test('messages survive the stream in pieces of any length', () => {
  const payload = fc.uint8Array({ maxLength: 200 });
  const message = fc.record({ type: fc.nat(), reqId: fc.nat(), txId: fc.nat(), payload }, { noNullPrototype: true });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 40 })), (messages, cuts) => {
      const stream = Buffer.concat(messages.map(encodeXsMessage));
      const reader = new XsMessageReader();
      const read: XsMessage[] = [];
      let from = 0;
      for (const cut of [...cuts, stream.length]) {
        reader.take(stream.subarray(from, from + cut), (one) => read.push(one));
        from += cut;
      }
      assert.deepEqual(read, messages);
      assert.ok(reader.between);
    }),
  );
});

test('answers may come in any order', async () => {
  const { store, peer } = connect();
  const reads = [store.read('/a'), store.read('/b'), store.read('/c')];
  await new Promise(setImmediate);
  for (const request of peer.requests.toReversed()) {
    peer.give({ type: xs.XS_READ, reqId: request.reqId, payload: request.payload.slice(1, 2) });
  }
  assert.deepEqual(await Promise.all(reads), ['a', 'b', 'c']);
});

const LONG = 'x'.repeat(3000);

/** Each: what is refused before anything is sent, and with which kind of error. */
const REFUSED: readonly [what: string, call: (store: Xenstore) => Promise<unknown>, kind: typeof TypeError][] = [
  ['a path that is no string', (store) => store.read(7 as unknown as string), TypeError],
  ['an empty path', (store) => store.read(''), RangeError],
  ['a path with a NUL', (store) => store.read('/a\0b'), RangeError],
  ['a path with a blank', (store) => store.write('/a b', ''), RangeError],
  ['a path that ends with a slash', (store) => store.mkdir('/a/'), RangeError],
  ['two slashes', (store) => store.rm('/a//b'), RangeError],
  ['a path that is too long', (store) => store.read(`/${LONG}/${LONG}`), RangeError],
  ['a relative path that is too long', (store) => store.read(LONG), RangeError],
  ['letters that are not ASCII', (store) => store.directory('/ä'), RangeError],
  ['the root, to be removed', (store) => store.rm('/'), RangeError],
  ['a value that does not fit', (store) => store.write('/a', 'x'.repeat(4094)), RangeError],
  ['a value that is no text', (store) => store.write('/a', 1 as unknown as string), TypeError],
  ['no permissions', (store) => store.setPermissions('/a', []), TypeError],
  ['unknown permissions', (store) => store.setPermissions('/a', [{ domid: 0, access: 'x' as 'read' }]), RangeError],
  ['a domain that cannot be', (store) => store.getDomainPath(65536), RangeError],
  ['half a domain', (store) => store.getDomainPath(0.5), RangeError],
  ['a special path where it means nothing', (store) => store.read('@introduceDomain/x y'), RangeError],
  ['no attempts', (store) => store.transaction(async () => {}, { attempts: 0 }), RangeError],
];

for (const [what, call, kind] of REFUSED) {
  test(`${what} is refused before anything is sent`, async () => {
    const { store, peer } = connect();
    await assert.rejects(call(store), kind);
    assert.equal(peer.requests.length, 0);
  });
}

test('the largest value that fits goes out', async () => {
  const { store, peer } = connect(answering('OK\0'));
  await store.write('/a', 'x'.repeat(4093));
  assert.equal(peer.requests[0]?.payload.length, 4096);
});

test("the daemon's word is the error's code", async () => {
  const words = new Map([
    ['ENOENT\0', 'ENOENT'],
    ['EQUOTA\0', 'EQUOTA'],
    ['EACCES', 'EACCES'],
    ['no such thing\0', 'EPROTO'],
    ['', 'EPROTO'],
  ]);
  for (const [word, expected] of words) {
    const { store } = connect((peer, { reqId }) => peer.give({ type: xs.XS_ERROR, reqId, payload: text(word) }));
    await assert.rejects(store.read('/a'), code(expected));
  }
});

test('an error says what was asked, and its errno as Node counts', async () => {
  const { store } = connect((peer, { reqId }) => peer.give({ type: xs.XS_ERROR, reqId, payload: text('ENOENT\0') }));
  await assert.rejects(store.read('/a/b'), (error) => {
    assert.ok(error instanceof XenstoreError);
    const { code: name, errno, operation, path } = error;
    assert.deepEqual({ name, errno, operation, path }, { name: 'ENOENT', errno: -2, operation: 'read', path: '/a/b' });
    return true;
  });
});

/** Each: what ends the connection, since nothing that comes after it can be trusted. */
const HOSTILE: readonly [what: string, give: (peer: Peer, request: XsMessage) => void][] = [
  ['a payload of 4 GB', (peer) => peer.bytes(new Uint8Array(Uint32Array.of(2, 1, 0, 2 ** 32 - 1).buffer))],
  ['an answer to nothing', (peer) => peer.give({ type: xs.XS_READ, reqId: 999 })],
  ['an answer of another type', (peer, { reqId }) => peer.give({ type: xs.XS_WRITE, reqId })],
  ['an event without a token', (peer) => peer.give({ type: xs.XS_WATCH_EVENT, payload: text('/a\0') })],
  ['an empty event', (peer) => peer.give({ type: xs.XS_WATCH_EVENT })],
];

for (const [what, give] of HOSTILE) {
  test(`${what} is EPROTO, and the end`, async () => {
    const { store, peer } = connect(give);
    const [first, second] = [store.read('/a'), store.read('/b')];
    await assert.rejects(first, code('EPROTO'));
    await assert.rejects(second, code('EPROTO'));
    assert.ok(peer.closed);
    await assert.rejects(store.read('/c'), code('EPROTO'));
  });
}

test('any bytes at all are answered with an error, not a crash or a wait', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 6 }), async (pieces) => {
      const { store } = connect((peer) => {
        for (const piece of pieces) peer.bytes(piece);
        peer.end();
      });
      await store.read('/a').catch((error) => assert.ok(error instanceof XenstoreError, String(error)));
      store.close();
    }),
  );
});

test('a daemon that goes away rejects what is under way, and ends watches with ENOTCONN', async () => {
  const { store, peer } = connect((to, { type, reqId }) => {
    if (type === xs.XS_WATCH) to.give({ type, reqId, payload: text('OK\0') });
    else to.end(new Error('connection reset'));
  });
  const watch = await store.watch('/a');
  const next = watch.next();
  await assert.rejects(store.read('/a'), code('ENOTCONN'));
  await assert.rejects(next, code('ENOTCONN'));
  await watch.close();
  assert.ok(peer.closed);
});

test('answers that make no sense are EPROTO', async () => {
  for (const answer of ['', '0\0', 'x\0', '-1\0', '99999999999\0']) {
    await assert.rejects(connect(answering(answer)).store.beginTransaction(), code('EPROTO'));
  }
  for (const answer of ['x0\0', 'r\0', 'r-1\0', 'r65536\0']) {
    await assert.rejects(connect(answering(answer)).store.getPermissions('/a'), code('EPROTO'));
  }
  await assert.rejects(connect(answering('')).store.getDomainPath(1), code('EPROTO'));
});

test('a folder in parts without an end, or that always changes, is given up', async () => {
  let generation = 0;
  const endless = (part: () => string) =>
    connect((peer, { type, reqId }) => {
      if (type === xs.XS_DIRECTORY) peer.give({ type: xs.XS_ERROR, reqId, payload: text('E2BIG\0') });
      else peer.give({ type, reqId, payload: text(part()) });
    }).store;
  await assert.rejects(endless(() => '7\0').directory('/a'), code('EPROTO'));
  await assert.rejects(endless(() => `7\0${'n'.repeat(4000)}\0`).directory('/a'), code('EPROTO'));
  await assert.rejects(endless(() => `${generation++}\0name\0`).directory('/a'), code('EAGAIN'));
  assert.deepEqual(await endless(() => '7\0a\0b\0\0').directory('/a'), ['a', 'b']);
  assert.deepEqual(await endless(() => '7\0\0').directory('/a'), []);
});

test('what a slow reader of a watch did not ask for stays bounded, and is told as one', async () => {
  let token = '';
  const { store, peer } = connect((to, { type, reqId, payload }) => {
    token = Buffer.from(payload).toString('latin1').split('\0')[1] ?? '';
    to.give({ type, reqId, payload: text('OK\0') });
  });
  const event = (path: string): void => peer.give({ type: xs.XS_WATCH_EVENT, payload: text(`${path}\0${token}\0`) });
  const watch = await store.watch('/a');
  for (let i = 0; i < 100_000; i++) event('/a/same');
  event('/a/other');
  assert.deepEqual((await watch.next()).value, { path: '/a/same', collapsed: false });
  assert.deepEqual((await watch.next()).value, { path: '/a/other', collapsed: false });
  for (let i = 0; i < 100_000; i++) event(`/a/${i}`);
  assert.deepEqual((await watch.next()).value, { path: '/a', collapsed: true });
  event('/a/last');
  assert.deepEqual((await watch.next()).value, { path: '/a/last', collapsed: false });
});

test('leaving the loop ends the watch', async () => {
  const { store, peer } = connect((to, { type, reqId, payload }) => {
    to.give({ type, reqId, payload: text('OK\0') });
    if (type === xs.XS_WATCH) to.give({ type: xs.XS_WATCH_EVENT, payload });
  });
  for await (const { path } of await store.watch('/a')) {
    assert.equal(path, '/a');
    break;
  }
  assert.deepEqual(
    peer.requests.map(({ type }) => type),
    [xs.XS_WATCH, xs.XS_UNWATCH],
  );
  const stop = new AbortController();
  const watch = await store.watch('/b', { signal: stop.signal });
  await watch.next();
  setImmediate(() => stop.abort());
  assert.equal((await watch.next()).done, true);
});

test('a transaction that loses every time is EAGAIN after the attempts', async () => {
  let begun = 0;
  const { store } = connect((peer, { type, reqId, payload }) => {
    if (type === xs.XS_TRANSACTION_START) peer.give({ type, reqId, payload: text(`${++begun}\0`) });
    else if (payload[0] === 0x54) peer.give({ type: xs.XS_ERROR, reqId, payload: text('EAGAIN\0') });
    else peer.give({ type, reqId, payload: text('OK\0') });
  });
  await assert.rejects(
    store.transaction(async () => {}, { attempts: 3 }),
    code('EAGAIN'),
  );
  assert.equal(begun, 3);
  const transaction = await store.beginTransaction();
  await transaction.abort();
  await transaction.abort();
  await assert.rejects(transaction.commit(), TypeError);
});
