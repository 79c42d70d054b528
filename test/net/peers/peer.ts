/**
 * The two ends of a conversation, each a process in a namespace of its own.
 *
 *     node peer.js server IP              echoes TCP and UDP; prints `listening`
 *     node peer.js client IP BYTES MS     sends so much by TCP and has it back, then UDP of many sizes; prints JSON
 */

import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

const TCP_PORT = 7000;
const UDP_PORT = 7001;
const UDP_SIZES = [0, 1, 2, 3, 17, 64, 255, 512, 1000, 1001, 1399, 1400];

export interface Conversation {
  /** Whether all bytes came back as they were. */
  readonly tcp: boolean;
  readonly milliseconds: number;
  /** Datagrams that came back as they were, of {@link UDP_COUNT}. */
  readonly udp: number;
}

export const UDP_COUNT = UDP_SIZES.length;

async function server(ip: string): Promise<void> {
  const tcp = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  const udp = createSocket('udp4');
  udp.on('message', (message, { port, address }) => udp.send(message, port, address));
  await Promise.all([
    new Promise<void>((done) => tcp.listen(TCP_PORT, ip, done)),
    new Promise<void>((done) => udp.bind(UDP_PORT, ip, done)),
  ]);
  console.log('listening');
}

function tcpEcho(ip: string, size: number, limit: number): Promise<boolean> {
  const data = randomBytes(size);
  const wanted = createHash('sha256').update(data).digest('hex');
  const hash = createHash('sha256');
  let received = 0;
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port: TCP_PORT });
    const end = (good: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(good);
    };
    const timer = setTimeout(() => end(false), limit);
    socket.on('error', () => end(false));
    socket.on('connect', () => socket.end(data));
    socket.on('data', (piece: Buffer) => {
      hash.update(piece);
      received += piece.length;
    });
    socket.on('end', () => end(received === size && hash.digest('hex') === wanted));
  });
}

async function udpEcho(ip: string, limit: number): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((done) => socket.bind(0, done));
  let good = 0;
  for (const size of UDP_SIZES) {
    const message = randomBytes(size);
    const came = new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), limit);
      socket.once('message', (answer) => {
        clearTimeout(timer);
        resolve(answer.equals(message));
      });
    });
    socket.send(message, UDP_PORT, ip);
    if (await came) good++;
    socket.removeAllListeners('message');
  }
  socket.close();
  return good;
}

async function client(ip: string, size: number, limit: number): Promise<Conversation> {
  const start = performance.now();
  const tcp = await tcpEcho(ip, size, limit);
  const milliseconds = Math.round(performance.now() - start);
  return { tcp, milliseconds, udp: await udpEcho(ip, Math.min(limit / 8, 1000)) };
}

const [, script = '', role, ip = '', size = '0', limit = '0'] = process.argv;
if (script.endsWith('peer.js')) {
  if (role === 'server') await server(ip);
  else console.log(JSON.stringify(await client(ip, Number(size), Number(limit))));
}
