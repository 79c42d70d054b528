/** Datagram sockets, between domains of a software Xen. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { xc_interface_open } from '#dist/index.js';
import { parseRule, V4vDriver, V4vRingError, V4vSocket, v4v_tables_add } from '#dist/v4v/index.js';
import { next, settle, twoDomains } from './domains.js';

test('messages arrive with their source, in order, each once', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = new V4vSocket(a, { port: 80 });
  const client = new V4vSocket(b);
  assert.deepEqual(server.address, { domain: 1, port: 80 });
  const got: [string, unknown][] = [];
  server.on('message', (payload, source) => got.push([Buffer.from(payload).toString(), source]));
  for (let i = 0; i < 300; i++) await client.send(`message ${i}`, server.address);
  await settle();
  assert.deepEqual(
    got,
    Array.from({ length: 300 }, (_, i) => [`message ${i}`, client.address]),
  );
});

test('dom0 and a guest that talks to itself', async () => {
  using machine = twoDomains();
  using dom0 = new V4vDriver(machine.xen.v4vPort(0, { gfn: 0x1000, pages: 64 }));
  const server = new V4vSocket(dom0, { port: 80 });
  const client = new V4vSocket(machine.drivers[0], { port: 81 });
  await client.send('to dom0', server.address);
  assert.deepEqual(await next(server, 'message'), [Uint8Array.from(Buffer.from('to dom0')), { domain: 1, port: 81 }]);
  await server.send('back', client.address);
  assert.deepEqual((await next(client, 'message'))[1], { domain: 0, port: 80 });
  await client.send('myself', client.address);
  assert.deepEqual((await next(client, 'message'))[1], client.address);
});

test('a full ring: sends wait for room and keep their order', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = new V4vSocket(a, { port: 80, length: 256 });
  const client = new V4vSocket(b);
  const got: number[] = [];
  server.on('message', (payload) => got.push(payload[0] ?? -1));
  const sent = Array.from({ length: 50 }, (_, i) =>
    client.send(new Uint8Array(1 + ((i * 13) % 200)).fill(i), server.address),
  );
  await Promise.all(sent);
  await settle();
  assert.deepEqual(
    got,
    Array.from({ length: 50 }, (_, i) => i),
  );
});

test('a send that waits can be aborted; the others go on', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const ring = a.ring({ port: 80, length: 256, onReadable: () => {} });
  const client = new V4vSocket(b);
  const to = { domain: 1, port: 80 };
  await client.send(new Uint8Array(180), to);
  const stop = new AbortController();
  const large = client.send(new Uint8Array(224), to, { signal: stop.signal });
  const small = client.send(Uint8Array.of(7), to);
  await settle();
  stop.abort();
  await assert.rejects(large, { name: 'AbortError' });
  await small;
  assert.deepEqual([ring.reader.read()?.payload.length, ring.reader.read()?.payload], [180, Uint8Array.of(7)]);
  await assert.rejects(client.send('x', to, { signal: stop.signal }), { name: 'AbortError' });
});

test('send: what can never arrive is an error at once', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  new V4vSocket(a, { port: 80, length: 256 });
  const client = new V4vSocket(b);
  await assert.rejects(client.send('x', { domain: 1, port: 81 }), {
    code: 'ECONNREFUSED',
    syscall: 'v4v_sendv',
    domid: 1,
  });
  await assert.rejects(client.send('x', { domain: 9, port: 80 }), { code: 'EINVAL' });
  await assert.rejects(client.send(new Uint8Array(225), { domain: 1, port: 80 }), { code: 'EMSGSIZE' });
  await assert.rejects(client.send(new Uint8Array(b.maxSend + 1), { domain: 1, port: 80 }), { code: 'EMSGSIZE' });
  using xch = xc_interface_open({ hypervisor: machine.xen });
  v4v_tables_add(xch, parseRule('reject 2:* -> 1:80'));
  await assert.rejects(client.send('x', { domain: 1, port: 80 }), { code: 'ECONNREFUSED' });
});

test('construction: a port in use, no memory, no such ring', () => {
  using machine = twoDomains(32);
  const [a] = machine.drivers;
  new V4vSocket(a, { port: 80 });
  assert.throws(() => new V4vSocket(a, { port: 80 }), { code: 'EEXIST', syscall: 'v4v_register_ring' });
  assert.throws(() => new V4vSocket(a, { port: 81, length: 100 }), RangeError);
  assert.throws(() => new V4vSocket(a, { port: 81, length: 2 ** 24 }), RangeError);
  new V4vSocket(a, { port: 81 });
  new V4vSocket(a, { port: 82 });
  assert.throws(() => new V4vSocket(a, { port: 83 }), { code: 'ENOMEM' }, '15 pages are 3 rings of 4');
  assert.throws(() => new V4vDriver(machine.xen.v4vPort(0, { gfn: 0x1000, pages: 10 })), RangeError);
  assert.throws(() => machine.xen.v4vPort(1, { gfn: 0x200, pages: 1 }), { code: 'EINVAL' }, 'one driver a domain');
});

test('close: rings and memory are given back, sends that wait are rejected, twice is harmless', async () => {
  using machine = twoDomains(32);
  const [a, b] = machine.drivers;
  for (let i = 0; i < 20; i++) {
    const socket = new V4vSocket(a, { port: 80 });
    socket.close();
    socket.close();
    await next(socket, 'close');
  }
  const server = new V4vSocket(a, { port: 80, length: 64 });
  const client = new V4vSocket(b);
  server.removeAllListeners();
  a.ring({ port: 81, length: 64, onReadable: () => {} });
  await client.send('x', { domain: 1, port: 81 });
  const waits = client.send(new Uint8Array(32), { domain: 1, port: 81 });
  client.close();
  await assert.rejects(waits, /closed/);
  assert.equal(machine.xen.v4v?.domain(2)?.ringCount, 0);
  b.close();
  b.close();
  assert.equal(b.closed, true);
});

test('a ring that the domain itself has damaged: an error, and the socket is closed', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = new V4vSocket(a, { port: 80 });
  const client = new V4vSocket(b);
  await client.send('x', server.address);
  const page = machine.xen.guest(1)?.domain.page(16 + 17, true);
  page?.fill(0xff, 64, 80);
  const closed = new Promise<void>((resolve) => server.once('close', () => resolve()));
  const [error] = await next(server, 'error');
  assert.ok(error instanceof V4vRingError);
  await closed;
});

test('messages of streams and of strangers are not delivered as datagrams', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = new V4vSocket(a, { port: 80, partner: 2 });
  const got: unknown[] = [];
  server.on('message', (payload) => got.push(payload));
  b.trySend(5, server.address, 0x70f6a8e5, [new Uint8Array(20)]);
  await new V4vSocket(b).send('y', server.address);
  using dom0 = new V4vDriver(machine.xen.v4vPort(0, { gfn: 0x1000, pages: 64 }));
  await assert.rejects(new V4vSocket(dom0).send('z', server.address), { code: 'ECONNREFUSED' });
  await settle();
  assert.deepEqual(got, [Uint8Array.from(Buffer.from('y'))]);
});

test('a domain that dies: its driver is closed; who sends to it is told', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = new V4vSocket(a, { port: 80 });
  const client = new V4vSocket(b);
  const { xen } = machine;
  const domain = xen.guest(1)?.domain;
  assert.ok(domain);
  xen.destroy(domain);
  assert.equal(a.closed, true);
  await assert.rejects(client.send('x', server.address), { code: 'EINVAL' });
  await assert.rejects(server.send('x', client.address), { code: 'ENOTCONN' });
  server.close();
  assert.equal(xen.domains.has(1), false, 'the driver does not keep it in being');
});
