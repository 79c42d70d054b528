/** Streams, between domains of a software Xen. */

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { finished, pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { connect, V4vServer, type V4vStream } from '#dist/v4v/index.js';
import { next, settle, twoDomains } from './domains.js';

function echo(server: V4vServer): V4vServer {
  return server.on('connection', (stream) => {
    stream.pipe(stream);
    stream.on('error', () => {});
  });
}

async function accepted(server: V4vServer): Promise<V4vStream> {
  const [stream] = await next(server, 'connection');
  return stream as V4vStream;
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

test('what is written arrives whole and in order, both ways, and the end is told', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = echo(new V4vServer(a, { port: 22 }));
  const sent = randomBytes(1_000_000);
  const stream = connect(b, server.address);
  const connected = next(stream, 'connect');
  stream.end(sent);
  await connected;
  assert.equal(stream.remote?.domain, 1);
  const got: Buffer[] = [];
  for await (const piece of stream) got.push(piece as Buffer);
  assert.equal(digest(Buffer.concat(got)), digest(sent));
});

test('ten connections at a time do not mix, and give their rings back', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = echo(new V4vServer(a, { port: 22 }));
  const answers = await Promise.all(
    Array.from({ length: 10 }, async (_, i) => {
      const stream = connect(b, server.address, { length: 1024 });
      stream.end(`client ${i} `.repeat(500));
      return await text(stream);
    }),
  );
  answers.forEach((answer, i) => {
    assert.equal(answer, `client ${i} `.repeat(500));
  });
  await settle();
  server.close();
  assert.equal(machine.xen.v4v?.domain(1)?.ringCount, 0);
  assert.equal(machine.xen.v4v?.domain(2)?.ringCount, 0);
});

test('back pressure: a reader that does not read holds its writer up, and nobody else', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = new V4vServer(a, { port: 22, length: 4032 });
  const slow = connect(b, server.address);
  const deaf = await accepted(server);
  let written = 0;
  const write = (): void => {
    while (written < 1000 && slow.write(Buffer.alloc(1000), () => written++)) {}
  };
  slow.on('drain', write);
  write();
  await settle(100);
  assert.ok(written < 30, `${written} KB were taken from the writer`);
  const other = connect(b, server.address);
  const heard = await accepted(server);
  other.end('hello');
  assert.equal(await text(heard), 'hello');
  let read = 0;
  deaf.on('data', (piece: Buffer) => {
    read += piece.length;
  });
  while (written < 1000) await settle(5);
  slow.end();
  await finished(deaf, { writable: false });
  assert.ok(read >= 1_000_000);
});

test('half close: an end that has said all still hears the other', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = new V4vServer(a, { port: 22 });
  const client = connect(b, server.address);
  const remote = await accepted(server);
  remote.allowHalfOpen = true;
  const heard: string[] = [];
  remote.on('data', (piece: Buffer) => heard.push(piece.toString()));
  client.end('question');
  await next(remote, 'end');
  assert.equal(heard.join(''), 'question');
  remote.end('answer');
  assert.equal(await text(client), 'answer');
});

test('nobody listens, a rule forbids it, no such domain: the stream fails', async () => {
  using machine = twoDomains();
  const [, b] = machine.drivers;
  await assert.rejects(finished(connect(b, { domain: 1, port: 23 })), { code: 'ECONNREFUSED' });
  await assert.rejects(finished(connect(b, { domain: 9, port: 23 })), { code: 'EINVAL' });
});

test('too many connections are refused', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = new V4vServer(a, { port: 22, maxConnections: 1 });
  server.on('connection', (stream) => stream.on('error', () => {}).resume());
  const first = connect(b, server.address);
  await next(first, 'connect');
  await assert.rejects(finished(connect(b, server.address)), { code: 'ECONNREFUSED', domid: 1 });
  first.destroy();
  await settle();
  const again = connect(b, server.address);
  await next(again, 'connect');
});

test('AbortSignal: ends a connection, and an attempt at one that nobody answers', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  a.ring({ port: 99, onReadable: () => {} });
  for (const port of [99, 22]) {
    const server = port === 22 ? new V4vServer(a, { port }) : null;
    server?.on('connection', (one) => one.on('error', () => {}).resume());
    const stop = new AbortController();
    const stream = connect(b, { domain: 1, port }, { signal: stop.signal });
    const closed = finished(stream);
    stream.write('x');
    await settle();
    stop.abort();
    await assert.rejects(closed, { name: 'AbortError' });
    server?.close();
  }
  assert.equal(machine.xen.v4v?.domain(2)?.ringCount, 0);
});

test('a connection that nobody takes is ended', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const client = connect(b, new V4vServer(a, { port: 22 }).address);
  client.resume();
  await assert.rejects(finished(client), { code: 'ECONNRESET' });
  assert.equal(machine.xen.v4v?.domain(1)?.ringCount, 1, 'the server itself');
});

test('an end that is destroyed: the other one hears ECONNRESET', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = new V4vServer(a, { port: 22 });
  const client = connect(b, server.address);
  const remote = await accepted(server);
  client.destroy();
  remote.resume();
  await assert.rejects(finished(remote), { code: 'ECONNRESET' });
});

test('pipeline: through an echo, with a transform', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = echo(new V4vServer(a, { port: 22 }));
  const sent = randomBytes(200_000);
  const stream = connect(b, server.address);
  const got: Buffer[] = [];
  await pipeline([sent], stream, async (pieces: AsyncIterable<Buffer>) => {
    for await (const piece of pieces) got.push(piece);
  });
  assert.equal(digest(Buffer.concat(got)), digest(sent));
});

test('messages of others on the port of a connection are not part of the stream', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = new V4vServer(a, { port: 22 });
  const client = connect(b, server.address);
  const remote = await accepted(server);
  await next(client, 'connect');
  const forged = Buffer.from('\0\0\0\0\0\0\0\0forged');
  assert.ok(b.trySend(5, remote.address, 0x70f6a8e5, [forged]) > 0, 'wrong number');
  assert.ok(b.trySend(client.address.port, remote.address, 0x3c2c1db8, [Buffer.from('no stream')]) > 0);
  assert.ok(b.trySend(client.address.port, remote.address, 0x70f6a8e5, [Buffer.from('x')]) > 0, 'too short');
  client.end('true');
  assert.equal(await text(remote), 'true');
});

test('a driver that closes ends its streams and servers', async () => {
  using machine = twoDomains();
  const [a, b] = machine.drivers;
  const server = new V4vServer(a, { port: 22 });
  const client = connect(b, server.address);
  const remote = await accepted(server);
  const ends = [next(server, 'close'), next(remote, 'close')];
  const reset = finished(client);
  client.resume();
  a.close();
  await Promise.all(ends);
  await assert.rejects(reset, { code: 'ECONNRESET' });
});
