/** Sockets over Argo on the model: dom0's driver, with guests that speak raw Argo at the other end, and with itself. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ArgoDriver, ArgoServer, ArgoSocket, argoConnect } from '#dist/argo/index.js';
import { XenError, xc_interface_open } from '#dist/index.js';
import type { ArgoMode } from '#dist/model/argo/argo.js';
import { GuestKernel, ModelXen } from '#dist/model/index.js';
import { ARGO_LAYOUT, RingReader, RingWriter } from '#dist/v4v/index.js';
import { Party } from '../model/argo/party.js';

const DGRAM = 0x3c2c_1db8;
const PORT = 7;

function machine(argo: ArgoMode = 'mac-permissive') {
  const xen = new ModelXen({ argo });
  const xch = xc_interface_open({ hypervisor: xen });
  const guest = (): Party => new Party(xen, xen.createGuest({ memoryPages: 1024 }).domid);
  const waiters = (domid: number): number =>
    xen.argo
      .save()
      .find((owner) => owner.domid === domid)
      ?.rings.reduce((sum, ring) => sum + ring.waiters.length, 0) ?? 0;
  return { xen, xch, guest, waiters };
}

async function refused(promise: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(promise, (error: unknown) => error instanceof XenError && error.code === code);
}

describe('ArgoDriver', () => {
  test('one can be open in a domain; after it is closed, another', () => {
    const { xch } = machine();
    const driver = new ArgoDriver(xch);
    assert.throws(
      () => new ArgoDriver(xch),
      (error: unknown) => error instanceof XenError && error.code === 'EEXIST' && /argo_dgram/.test(error.hint ?? ''),
    );
    driver.close();
    driver.close();
    new ArgoDriver(xch).close();
  });

  for (const [argo, code] of [
    [false, 'EOPNOTSUPP'],
    ['not-compiled-in', 'ENOSYS'],
    ['no-domain-state', 'ENODEV'],
    ['denied', 'EACCES'],
  ] as const) {
    test(`argo: ${String(argo)} is ${code}`, () => {
      assert.throws(
        () => new ArgoDriver(machine(argo).xch),
        (error: unknown) => error instanceof XenError && error.code === code,
      );
    });
  }
});

describe('ArgoSocket', () => {
  test('datagrams of a guest arrive, whole, in order, with their source; others of another type do not', async () => {
    const { xch, guest } = machine();
    using driver = new ArgoDriver(xch);
    using socket = new ArgoSocket(driver, { port: PORT, length: 256 });
    const sender = guest();
    const got: [string, number][] = [];
    socket.on('message', (payload, source) => {
      got.push([Buffer.from(payload).toString(), source.domain]);
      assert.equal(source.port, 9);
    });
    const sent: string[] = [];
    for (let i = 0; i < 50; i++) {
      const text = `${i}:`.padEnd((i * 13) % 100, '.');
      if (sender.send(0, PORT, text, { type: i % 5 === 4 ? 1 : DGRAM, fromPort: 9 }) < 0) {
        i--;
        await delay(1);
      } else if (i % 5 !== 4) sent.push(text);
    }
    await delay(5);
    assert.deepEqual(
      got,
      sent.map((text) => [text, sender.domid]),
    );
  });

  test('sends wait for room and arrive in the order of the calls', async () => {
    const { xch, guest, waiters } = machine();
    using driver = new ArgoDriver(xch);
    using socket = new ArgoSocket(driver, { port: PORT });
    const receiver = guest();
    receiver.register(1, 0, { len: 128 });
    const texts = Array.from({ length: 20 }, (_, i) => `message ${i} `.padEnd(40 + i, '.'));
    const sends = Promise.all(texts.map((text) => socket.send(text, { domain: receiver.domid, port: 1 })));
    const got: string[] = [];
    while (got.length < texts.length) {
      got.push(...receiver.read(128).map(({ text }) => text));
      receiver.wake();
      await delay(1);
    }
    await sends;
    assert.deepEqual(got, texts);
    // a successful send leaves Xen's wait as it was: the owner's next look ends it
    receiver.wake();
    assert.equal(waiters(receiver.domid), 0);
  });

  test('an aborted send ends the wait in Xen, too', async () => {
    const { xch, guest, waiters } = machine();
    using driver = new ArgoDriver(xch);
    using socket = new ArgoSocket(driver, { port: PORT });
    const receiver = guest();
    receiver.register(1, 0, { len: 128 });
    const to = { domain: receiver.domid, port: 1 };
    await socket.send('x'.repeat(90), to);
    const stop = new AbortController();
    const waiting = socket.send('y'.repeat(90), to, { signal: stop.signal });
    await delay(1);
    assert.equal(waiters(receiver.domid), 1);
    stop.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
    assert.equal(waiters(receiver.domid), 0);
    assert.deepEqual(
      receiver.read(128).map(({ text }) => text),
      ['x'.repeat(90)],
    );
  });

  test('closing the driver rejects what waits, ends the wait in Xen, and gives all memory back', async () => {
    const { xen, xch, guest, waiters } = machine();
    const receiver = guest();
    const before = xen.memory.freePages;
    const driver = new ArgoDriver(xch);
    const socket = new ArgoSocket(driver, { port: PORT });
    receiver.register(1, 0, { len: 128 });
    const to = { domain: receiver.domid, port: 1 };
    await socket.send('x'.repeat(90), to);
    const waiting = socket.send('y'.repeat(90), to);
    const closed = once(socket, 'close');
    driver.close();
    await assert.rejects(waiting, /closed/);
    await closed;
    assert.equal(waiters(receiver.domid), 0);
    assert.equal(xen.memory.freePages, before);
    await assert.rejects(socket.send('z', to), /closed/);
  });

  test('closing the driver ends waits that Xen holds although the messages got through', async () => {
    const { xch, guest, waiters } = machine();
    const driver = new ArgoDriver(xch);
    const socket = new ArgoSocket(driver, { port: PORT });
    const receiver = guest();
    receiver.register(1, 0, { len: 128 });
    const to = { domain: receiver.domid, port: 1 };
    await socket.send('x'.repeat(90), to);
    const waiting = socket.send('y'.repeat(90), to);
    receiver.read(128); // without telling Xen
    receiver.send(0, PORT, 'anything that signals dom0', { type: DGRAM });
    await waiting;
    assert.equal(waiters(receiver.domid), 1);
    driver.close();
    assert.equal(waiters(receiver.domid), 0);
  });

  test('a receiver without a ring, or none at all, and what can never fit', async () => {
    const { xch, guest } = machine();
    using driver = new ArgoDriver(xch);
    using socket = new ArgoSocket(driver, { port: PORT });
    const receiver = guest();
    await refused(socket.send('x', { domain: receiver.domid, port: 1 }), 'ECONNREFUSED');
    await refused(socket.send('x', { domain: 999, port: 1 }), 'ESRCH');
    receiver.register(1, 0, { len: 128 });
    await refused(socket.send('x'.repeat(97), { domain: receiver.domid, port: 1 }), 'EMSGSIZE');
    await refused(socket.send(new Uint8Array(0x1_0001), { domain: receiver.domid, port: 1 }), 'EMSGSIZE');
  });

  test('where 32 domains wait already it looks again by itself', async () => {
    const { xen, xch, guest } = machine();
    using driver = new ArgoDriver(xch);
    using socket = new ArgoSocket(driver, { port: PORT });
    const receiver = guest();
    receiver.register(1, 0x7ff4, { len: 128 });
    const crowd = Array.from({ length: 32 }, () => new Party(xen, xen.createGuest({ memoryPages: 16 }).domid));
    const to = { domain: receiver.domid, port: 1 };
    await socket.send('x'.repeat(90), to);
    for (const one of crowd) one.send(receiver.domid, 1, 'x'.repeat(90));
    const waiting = socket.send('late', to);
    receiver.read(128); // and does not notify
    await waiting;
    assert.equal(receiver.read(128)[0]?.text, 'late');
  });

  test('for one partner only, without mac-permissive; for any, EPERM', () => {
    const { xch, guest } = machine(true);
    using driver = new ArgoDriver(xch);
    const { domid } = guest();
    using socket = new ArgoSocket(driver, { partner: domid });
    assert.equal(socket.address.domain, 0);
    assert.throws(
      () => new ArgoSocket(driver),
      (error: unknown) => error instanceof XenError && error.code === 'EPERM',
    );
  });

  test('an owner of the process memory cannot be fooled: a damaged ring is an error and closes the socket', async () => {
    const { xen, xch, guest } = machine();
    using driver = new ArgoDriver(xch);
    const socket = new ArgoSocket(driver, { port: PORT, length: 256 });
    const sender = guest();
    sender.send(0, PORT, 'x', { type: DGRAM });
    const [state] = xen.argo.save().filter(({ domid }) => domid === 0);
    const [mfn = 0] = state?.rings[0]?.mfns ?? [];
    new DataView(xen.memory.page(0, mfn).buffer).setUint32(4, 17, true);
    const [error] = await once(socket, 'error');
    assert.match(String(error), /tx_ptr 17/);
    assert.equal(sender.send(0, PORT, 'x'), -111);
  });
});

describe('streams', () => {
  test('a megabyte through small rings, there and back, with back pressure', async () => {
    const { xch } = machine();
    using driver = new ArgoDriver(xch);
    using server = new ArgoServer(driver, { port: PORT, length: 1024 });
    server.on('connection', (stream) => stream.pipe(stream));
    const client = argoConnect(driver, { domain: 0, port: PORT }, { length: 1024 });
    const bytes = Buffer.from(Uint8Array.from({ length: 2 ** 20 }, (_, i) => (i * 7) ^ (i >> 9)));
    const [back] = await Promise.all([buffer(client), pipeline(Readable.from(chunks(bytes)), client, { end: true })]);
    assert.ok(back.equals(bytes));
  });

  test('nobody listens: ECONNREFUSED; an abort destroys', async () => {
    const { xch, guest } = machine();
    using driver = new ArgoDriver(xch);
    const stream = argoConnect(driver, { domain: guest().domid, port: 1 });
    const [error] = await once(stream, 'error');
    assert.equal((error as XenError).code, 'ECONNREFUSED');
    using server = new ArgoServer(driver, { port: PORT });
    const stop = new AbortController();
    const other = argoConnect(driver, server.address, { signal: stop.signal });
    await once(other, 'connect');
    stop.abort();
    const [aborted] = await once(other, 'error');
    assert.equal((aborted as Error).name, 'AbortError');
  });
});

describe('GuestKernel', () => {
  function pair() {
    const xen = new ModelXen({ argo: true });
    const { domid } = xen.createGuest({ memoryPages: 256 });
    const kernel = new GuestKernel(xen, domid, { gfn: 0x40, pages: 64 });
    const guest = new ArgoDriver(xc_interface_open({ hypervisor: kernel }), { domid, allocate: kernel.pages });
    const dom0 = new ArgoDriver(xc_interface_open({ hypervisor: xen }));
    return { xen, domid, kernel, guest, dom0 };
  }

  test('sockets between dom0 and a guest: datagrams both ways', async () => {
    const { domid, guest, dom0 } = pair();
    const there = new ArgoSocket(guest, { port: 1, partner: 0 });
    const here = new ArgoSocket(dom0, { port: 2, partner: domid });
    there.on('message', (payload, source) => {
      assert.deepEqual(source, here.address);
      there.send(payload.toReversed(), source);
    });
    const got: string[] = [];
    here.on('message', (payload, source) => {
      assert.deepEqual(source, there.address);
      got.push(Buffer.from(payload).toString());
    });
    for (let i = 0; i < 100; i++) await here.send(`${i} forward`, there.address);
    while (got.length < 100) await delay(1);
    assert.equal(got[42], 'drawrof 24');
    guest.close();
    dom0.close();
  });

  test('a stream into a guest that does not read holds the sender up, and nobody else', async () => {
    const { domid, guest, dom0 } = pair();
    const server = new ArgoServer(guest, { port: 80, partner: 0, length: 4096 });
    const accepted = once(server, 'connection');
    const client = argoConnect(dom0, { domain: domid, port: 80 });
    await once(client, 'connect');
    while (client.write(Buffer.alloc(1000))) await delay(0);
    await delay(5);
    assert.ok(client.writableNeedDrain);
    const [stream] = (await accepted) as [Readable];
    const all = buffer(stream);
    client.end();
    assert.ok((await all).length >= 16_000);
    guest.close();
    dom0.close();
  });

  test('it has hypercalls and event channels, and no more', () => {
    const { xen, domid, kernel } = pair();
    const refused = (body: () => unknown): void =>
      assert.throws(body, (error: unknown) => error instanceof XenError && error.code === 'EPERM');
    refused(() => kernel.mapForeign(0));
    refused(() => kernel.mapResource(0));
    refused(() => kernel.grantTable());
    refused(() => kernel.restrict(1));
    assert.deepEqual([kernel.resourceSize(), kernel.dmOp()], [-1, -1]);
    assert.throws(() => new GuestKernel(xen, 99, { gfn: 1, pages: 1 }), XenError);
    assert.throws(() => new GuestKernel(xen, domid, { gfn: 0x5000, pages: 1 }), RangeError);
    kernel.close();
    kernel.close();
    assert.throws(() => kernel.hypercall(17), TypeError);
  });
});

test('the codec speaks Argo: what Xen wrote the reader reads, what the writer writes has the header of Argo', () => {
  const { xen, guest } = machine();
  const [one, two] = [guest(), guest()];
  one.register(1, two.domid);
  two.send(one.domid, 1, 'by Xen', { type: 5, fromPort: 9 });
  const page = one.ringPage();
  const reader = new RingReader(page.buffer, 256, page.byteOffset, ARGO_LAYOUT);
  const message = reader.read();
  assert.deepEqual(message?.source, { port: 9, domain: two.domid });
  assert.equal(message?.messageType, 5);
  assert.equal(Buffer.from(message?.payload ?? []).toString(), 'by Xen');
  assert.equal(reader.read(), null);
  assert.equal(one.ringWord(0), 32);
  const memory = new ArrayBuffer(64 + 256);
  const writer = new RingWriter(memory, 256, 0, ARGO_LAYOUT);
  assert.ok(writer.write(Buffer.from('hello'), { source: { port: 9, domain: 3 }, messageType: 0x1234 }));
  assert.equal(Buffer.from(memory, 64, 21).toString('hex'), '1500000009000000030000003412000068656c6c6f');
  assert.deepEqual([...new Uint32Array(memory, 0, 2)], [0, 32]);
  assert.ok(xen.argo.on);
});

function* chunks(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 5000) yield bytes.subarray(at, at + 5000);
}
