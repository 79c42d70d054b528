/** Sockets over OpenXT's driver, on a driver of the tests that behaves as its source says. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { OpenXtServer, OpenXtSocket, type OpenXtStream, openxtArgo, openxtConnect } from '#dist/argo/index.js';
import type { DeviceCalls } from '#dist/argo/openxt_device.js';
import { listenOnDevice } from '#dist/cli/argo/listen.js';
import { loadFfi } from '#dist/hypervisor/libxen/ffi.js';
import { XenError } from '#dist/index.js';

const EAGAIN = -11;
const EINVAL = -22;
const EPIPE = -32;
const ENOTCONN = -107;
const ECONNREFUSED = -111;
const EINPROGRESS = -115;
const DGRAM = '/dev/argo_dgram';
const MEMORY = 0x10_0000_0000;

interface End {
  readonly path: string;
  waits: boolean;
  port: number;
  partner: number;
  state: 'idle' | 'bound' | 'listening' | 'connecting' | 'connected' | 'disconnected';
  readonly inbox: Buffer[];
  readonly from: number[];
  readonly waiting: End[];
  peer: End | null;
  error: number;
}

/** The driver of one domain that sends to itself: domain 0. */
class FakeDriver implements DeviceCalls {
  readonly ends = new Map<number, End>();
  /** Messages that an end holds before its sender is told to wait. */
  room = 2;
  allocated = 0;
  readonly requests: number[] = [];
  readonly #memory = new Uint8Array(4 * 2 ** 20);
  #next = 10;
  #nextPort = 0x1_0000;
  #top = 0;

  exists(): boolean {
    return true;
  }

  open(path: string): number {
    if (!path.startsWith('/dev/argo_')) return -2;
    return this.#add({ path, state: 'idle' });
  }

  #add(some: Pick<End, 'path' | 'state'>): number {
    const fd = this.#next++;
    const rest = { waits: true, port: 0, partner: 0, inbox: [], from: [], waiting: [], peer: null, error: 0 };
    this.ends.set(fd, { ...rest, ...some });
    if (some.state === 'idle') this.dontWait(fd);
    return fd;
  }

  dontWait(fd: number): void {
    const end = this.ends.get(fd);
    if (end) end.waits = false;
  }

  close(fd: number): void {
    const end = this.ends.get(fd);
    assert.ok(end, 'closed once');
    if (end.peer) end.peer.state = 'disconnected';
    this.ends.delete(fd);
  }

  allocate(size: number) {
    const at = this.#top;
    this.#top += size + 64;
    this.allocated++;
    return {
      address: MEMORY + at,
      bytes: this.#memory.subarray(at, at + size),
      free: () => {
        this.allocated--;
      },
    };
  }

  ioctl(fd: number, request: number, address: number): number {
    const end = this.ends.get(fd);
    assert.ok(end);
    assert.ok(!end.waits, 'no call may wait');
    this.requests.push(request);
    const at = address - MEMORY;
    const view = new DataView(this.#memory.buffer, at);
    switch (request & 0xff) {
      case 1:
        return view.getUint32(0, true) % 16 === 0 ? 0 : EINVAL;
      case 2:
        return this.#bind(end, view);
      case 5:
        return this.#connect(end, view);
      case 6:
        view.setInt32(0, end.error, true);
        return 0;
      case 7:
        if (end.state !== 'bound') return EINVAL;
        end.state = 'listening';
        return 0;
      case 8:
        return this.#accept(end);
      case 9:
        return this.#send(end, view);
      case 10:
        return this.#receive(end, view);
      default:
        return -25;
    }
  }

  #bind(end: End, view: DataView): number {
    if (view.getUint16(0, true) !== 0x7ff4) return EINVAL;
    const port = view.getUint32(4, true);
    if ([...this.ends.values()].some((other) => port !== 0 && other.port === port && other.path === end.path))
      return -98;
    end.partner = view.getUint16(2, true);
    end.port = port || this.#nextPort++;
    end.state = 'bound';
    return 0;
  }

  #find(port: number, path: string): End | undefined {
    return [...this.ends.values()].find((end) => end.port === port && end.path === path);
  }

  #connect(end: End, view: DataView): number {
    if (end.state === 'connected') return 0;
    if (end.state === 'connecting') return EINPROGRESS;
    if (end.state !== 'bound') return EINVAL;
    const server = this.#find(view.getUint32(0, true), end.path);
    end.state = 'connecting';
    if (server?.state === 'listening') server.waiting.push(end);
    else {
      end.error = ECONNREFUSED;
      end.state = 'disconnected';
    }
    return EINPROGRESS;
  }

  #accept(end: End): number {
    const client = end.waiting.shift();
    if (!client) return EAGAIN;
    const fd = this.#add({ path: end.path, state: 'connected' });
    const accepted = this.ends.get(fd) as End;
    accepted.peer = client;
    client.peer = accepted;
    client.state = 'connected';
    return fd;
  }

  #descriptor(view: DataView) {
    const at = Number(view.getBigUint64(0, true)) - MEMORY;
    const addressAt = Number(view.getBigUint64(24, true));
    assert.equal(view.getInt32(16, true), 0x4000, 'MSG_NOSIGNAL');
    return {
      bytes: Buffer.from(this.#memory.buffer, at, Number(view.getBigUint64(8, true))),
      address: addressAt === 0 ? null : new DataView(this.#memory.buffer, addressAt - MEMORY, 8),
    };
  }

  #send(end: End, view: DataView): number {
    const { bytes, address } = this.#descriptor(view);
    if (end.path === DGRAM) {
      const to =
        address && address.getUint16(4, true) === 0 ? this.#find(address.getUint32(0, true), DGRAM) : undefined;
      if (!to) return ECONNREFUSED;
      return this.#put(to, end, bytes);
    }
    if (end.state === 'disconnected') return EPIPE;
    return end.peer ? this.#put(end.peer, end, bytes.subarray(0, 5000)) : ENOTCONN;
  }

  #put(to: End, from: End, bytes: Buffer): number {
    if (to.inbox.length >= this.room) return EAGAIN;
    to.inbox.push(Buffer.from(bytes));
    to.from.push(from.port);
    return bytes.length;
  }

  #receive(end: End, view: DataView): number {
    const { bytes, address } = this.#descriptor(view);
    const message = end.inbox.shift();
    address?.setUint32(0, end.from.shift() ?? 0, true);
    if (!message) return end.state === 'disconnected' ? 0 : EAGAIN;
    return message.copy(bytes);
  }
}

function hasFfi(): boolean {
  try {
    loadFfi();
    return true;
  } catch {
    return false;
  }
}

function code(wanted: string) {
  return (error: unknown): boolean => error instanceof XenError && error.code === wanted;
}

test('datagrams: whole, in order, with their source; senders wait while the receiver is full', async () => {
  const calls = new FakeDriver();
  const [one, two] = [new OpenXtSocket({ port: 1, length: 4096, calls }), new OpenXtSocket({ port: 2, calls })];
  const got: string[] = [];
  two.on('message', (payload, source) => {
    assert.deepEqual(source, { port: 1, domain: 0 });
    got.push(Buffer.from(payload).toString());
  });
  const texts = Array.from({ length: 10 }, (_, i) => `message ${i}`);
  for (const text of texts) await one.send(text, { domain: 0, port: 2 });
  while (got.length < texts.length) await delay(1);
  assert.deepEqual(got, texts);
  await assert.rejects(one.send('x', { domain: 0, port: 99 }), code('ECONNREFUSED'));
  await assert.rejects(one.send(new Uint8Array(0x1_0001), { domain: 0, port: 2 }), code('EMSGSIZE'));
  const closed = once(two, 'close');
  two.close();
  two.close();
  await closed;
  one.close();
  assert.equal(calls.ends.size, 0);
  assert.equal(calls.allocated, 0);
});

test('a send that waits ends with its signal, and with the socket', async () => {
  const calls = new FakeDriver();
  calls.room = 0;
  using one = new OpenXtSocket({ port: 1, calls });
  const stop = new AbortController();
  const waiting = one.send('x', { domain: 0, port: 1 }, { signal: stop.signal });
  stop.abort(new Error('enough'));
  await assert.rejects(waiting);
  const other = one.send('x', { domain: 0, port: 1 });
  one.close();
  await assert.rejects(other);
});

test('streams: a megabyte there and back, then the end; the requests are the driver’s', async () => {
  const calls = new FakeDriver();
  using server = new OpenXtServer({ port: 5, calls });
  server.on('connection', (stream: OpenXtStream) => stream.pipe(stream));
  const client = openxtConnect({ domain: 0, port: 5 }, { calls });
  await once(client, 'connect');
  const bytes = Buffer.from(Uint8Array.from({ length: 100_000 }, (_, i) => i * 7));
  const parts: Buffer[] = [];
  client.on('data', (part: Buffer) => parts.push(part));
  await pipeline(Readable.from([bytes.subarray(0, 60_000), bytes.subarray(60_000)]), client, { end: false });
  while (parts.reduce((sum, part) => sum + part.length, 0) < bytes.length) await delay(1);
  assert.ok(Buffer.concat(parts).equals(bytes));
  client.destroy();
  server.close();
  await delay(30);
  assert.equal(calls.ends.size, 0);
  assert.equal(calls.allocated, 0);
  const numbers = { bind: 0x4008_5702, connect: 0x4008_5705, listen: 0x4004_5707, accept: 0x4008_5708 };
  for (const one of [...Object.values(numbers), 0x4020_5709, 0x4020_570a]) assert.ok(calls.requests.includes(one));
});

test('the other end’s close is the end of a stream; nobody listening is ECONNREFUSED', async () => {
  const calls = new FakeDriver();
  using server = new OpenXtServer({ port: 5, calls });
  server.on('connection', async (stream: OpenXtStream) => {
    await delay(40); // the driver forgets a connection that ends before the client has looked for it
    stream.end('bye', () => stream.destroy());
  });
  const client = openxtConnect({ domain: 0, port: 5 }, { calls });
  assert.equal((await buffer(client)).toString(), 'bye');
  const refused = openxtConnect({ domain: 0, port: 6 }, { calls });
  const [error] = await once(refused, 'error');
  assert.ok(code('ECONNREFUSED')(error));
});

test('xenctrl argo listen goes through the driver: so many messages, then it is closed', async () => {
  const calls = new FakeDriver();
  const heard: string[] = [];
  const done = listenOnDevice(
    { port: 80, count: 2, calls },
    new AbortController().signal,
    ({ payload, messageType }) => {
      heard.push(`${messageType.toString(16)} ${Buffer.from(payload).toString()}`);
    },
  );
  using sender = new OpenXtSocket({ port: 1, calls });
  for (const text of ['one', 'two', 'three']) await sender.send(text, { domain: 0, port: 80 }).catch(() => {});
  assert.equal(await done, 2);
  assert.deepEqual(heard, ['3c2c1db8 one', '3c2c1db8 two']);
  const stop = new AbortController();
  const other = listenOnDevice({ port: 80, calls }, stop.signal, () => {});
  stop.abort();
  assert.equal(await other, 0);
  assert.equal(calls.ends.size, 1);
});

test('without the device: ENOENT, from the system itself', { skip: openxtArgo().dgram || !hasFfi() }, () => {
  assert.throws(() => new OpenXtSocket(), code('ENOENT'));
});

test('what the driver refuses leaves nothing open; the devices are looked for', () => {
  const calls = new FakeDriver();
  assert.throws(() => new OpenXtSocket({ length: 17, calls }), code('EINVAL'));
  const one = new OpenXtSocket({ port: 1, calls });
  assert.throws(() => new OpenXtSocket({ port: 1, calls }), code('EADDRINUSE'));
  one.close();
  assert.equal(calls.ends.size, 0);
  assert.deepEqual(
    openxtArgo((path) => path === DGRAM),
    { dgram: true, stream: false },
  );
});
