// V4V: the ring codec against memcpy, and messages through the software Xen beside those between two real processes. Aims:
// 64 KiB payloads at 0.6 of memcpy's rate, a million 64-byte messages a second through the codec, 300,000 through the
// whole model; notify and sendv cost what they carry, and a ring is found as fast among 8192 as alone.

import { execFileSync } from 'node:child_process';
import { orSkipped, ROOT } from './lib/compile.mjs';
import { DatagramRival } from './lib/datagrams.mjs';

/** Turns, each a few milliseconds; the best counts. */
const TURNS = 150;

const SETUP = `
import { ModelXen } from '#dist/model/index.js';
import { formatRing, RingReader, RingWriter } from '#dist/v4v/index.js';
/** Best and median of what the bodies give, by turns. */
const compare = (bodies, turns = ${TURNS}) => {
  const samples = bodies.map(() => []);
  for (let turn = -10; turn < turns; turn++) {
    bodies.forEach((body, i) => { const rate = body(); if (turn >= 0) samples[i].push(rate); });
  }
  return samples.map((all) => { all.sort((a, b) => b - a); return { best: all[0], median: all[all.length >> 1] }; });
};
const rate = (count, body) => {
  const start = performance.now();
  for (let i = 0; i < count; i++) body(i);
  return (count / (performance.now() - start)) * 1000;
};`;

const COPY = `${SETUP}
const LENGTH = 65536;
const buffer = new ArrayBuffer(64 + 4 * LENGTH);
const writer = new RingWriter(buffer);
const reader = new RingReader(buffer);
const payload = new Uint8Array(LENGTH).map((_, i) => i);
const target = new Uint8Array(LENGTH);
const middle = new Uint8Array(4 * LENGTH);
const mega = (calls) => (calls * LENGTH) / 1e6;
const both = () => mega(rate(40, () => { writer.write(payload); reader.readInto(target); }));
const twice = () => mega(rate(40, (i) => {
  const at = (i % 4) * LENGTH;
  middle.set(payload, at);
  target.set(middle.subarray(at, at + LENGTH));
}));
const write = () => { let n = 0; const start = performance.now(); let spent = 0;
  for (let i = 0; i < 10; i++) {
    const from = performance.now();
    for (let k = 0; k < 3; k++) writer.write(payload);
    spent += performance.now() - from;
    for (let k = 0; k < 3; k++) reader.readInto(target);
  }
  return mega((30 / spent) * 1000); };
const once = () => mega(rate(30, (i) => middle.set(payload, (i % 4) * LENGTH)));
const [ring, memory, written, copied] = compare([both, twice, write, once]);
console.log(JSON.stringify({ ring, memory, written, copied }));`;

const SMALL = `${SETUP}
const buffer = new ArrayBuffer(64 + 65536);
const [ours, reader] = [new RingWriter(buffer), new RingReader(buffer)];
const payload = new Uint8Array(64);
const target = new Uint8Array(64);
const options = { source: { port: 1025, domain: 3 } };
const [into] = compare([() => rate(5000, () => { ours.write(payload, options); reader.readInto(target); })]);
const [made] = compare([() => rate(5000, () => { ours.write(payload, options); reader.read(); })]);
console.log(JSON.stringify({ into, made }));`;

const MODEL = `${SETUP}
const xen = new ModelXen({ v4v: true });
const [a, b] = [1, 2].map(() => xen.v4vPort(xen.createGuest({ memoryPages: 1024 }).domid, { gfn: 16, pages: 512 }));
const view = (port) => new DataView(port.bytes.buffer, port.bytes.byteOffset);
const register = (port, page, number, pages) => {
  formatRing(port.bytes.buffer, pages * 4096 - 64, { port: number }, port.bytes.byteOffset + page * 4096);
  for (let i = 0; i < pages; i++) view(port).setBigUint64(i * 8, BigInt(16 + page + i), true);
  const rc = port.hypercall(1, port.address + page * 4096, port.address, pages);
  if (rc !== 0) throw new Error('register_ring: ' + rc);
  return new RingReader(port.bytes.buffer, pages * 4096 - 64, port.bytes.byteOffset + page * 4096);
};
const sender = (port, domain, number, pieces, length) => {
  view(port).setUint32(0, 1025, true);
  view(port).setUint32(8, number, true);
  view(port).setUint16(12, domain, true);
  for (let i = 0; i < pieces; i++) {
    view(port).setBigUint64(16 + i * 16, BigInt(port.address + 8192 + i * length), true);
    view(port).setUint32(24 + i * 16, length, true);
  }
  return () => {
    const rc = port.hypercall(5, port.address, port.address + 16, pieces, 0x3c2c1db8);
    if (rc !== pieces * length) throw new Error('sendv: ' + rc);
  };
};`;

const MESSAGES = `${MODEL}
const reader = register(a, 1, 80, 64);
const target = new Uint8Array(65536);
const through = (pieces, length, count) => {
  const send = sender(b, 1, 80, pieces, length);
  return compare([() => rate(count, () => { send(); reader.readInto(target); })])[0];
};
console.log(JSON.stringify({ small: through(1, 64, 1000), large: through(1, 65536, 30) }));`;

const LINEAR = `${MODEL}
const reader = register(a, 1, 80, 64);
const target = new Uint8Array(65536);
const us = ({ best }) => 1e6 / best;
const sendv = {};
for (const pieces of [1, 32, 64, 128]) {
  const send = sender(b, 1, 80, pieces, 16);
  sendv[pieces] = us(compare([() => rate(Math.ceil(500 / pieces), () => { send(); reader.readInto(target); })])[0]);
}
const notify = {};
view(b).setBigUint64(0, 0x45fe852220b801d4n, true);
for (const entries of [1, 64, 128, 256]) {
  view(b).setUint32(8, entries, true);
  for (let i = 0; i < entries; i++) {
    view(b).setUint32(48 + i * 20, 80, true);
    view(b).setUint16(52 + i * 20, 1, true);
  }
  notify[entries] = us(compare([() => rate(Math.ceil(500 / entries), () => b.hypercall(4, b.address))])[0]);
}
console.log(JSON.stringify({ sendv, notify }));`;

const LOOKUP = `${MODEL}
const reader = register(a, 1, 80, 64);
const target = new Uint8Array(65536);
const send = sender(b, 1, 80, 1, 64);
const measure = () => 1e6 / compare([() => rate(1000, () => { send(); reader.readInto(target); })])[0].best;
const alone = measure();
for (let i = 0; i < 127; i++) register(a, 80, 1000 + i, 1);
for (let domain = 0; domain < 63; domain++) {
  const port = xen.v4vPort(xen.createGuest({ memoryPages: 64 }).domid, { gfn: 16, pages: 8 });
  for (let i = 0; i < 128; i++) register(port, 1, 1000 + i, 1);
}
console.log(JSON.stringify({ alone, among: measure() }));`;

function run(script) {
  const flags = ['--input-type=module', '-e', script];
  return JSON.parse(execFileSync(process.execPath, flags, { cwd: ROOT, encoding: 'utf8' }));
}

function* bothKinds(name, ours, rival, rivalName, unit) {
  for (const kind of ['best', 'median']) {
    const beside = rival ? { rival: rival[kind], rivalName } : {};
    yield { case: `${name}, ${kind}`, ours: ours[kind], unit, ...beside };
  }
}

export async function* bench() {
  const { ring, memory, written, copied } = run(COPY);
  yield* bothKinds('64 KiB through a ring: write and read', ring, memory, 'memcpy of the same bytes, twice', 'MB/s');
  yield* bothKinds('64 KiB into a ring: write', written, copied, 'memcpy of the same bytes', 'MB/s');
  const { into, made } = run(SMALL);
  yield* bothKinds('64 bytes through a ring, readInto', into, null, null, 'messages/s');
  yield* bothKinds('64 bytes through a ring, read', made, null, null, 'messages/s');

  const { small, large } = run(MESSAGES);
  yield* orSkipped('datagrams', async function* () {
    const rival = await DatagramRival.start();
    const name = 'Unix datagram socket between two Node processes';
    yield* bothKinds(
      '64 bytes from guest to guest: sendv and read',
      small,
      await rival.measure(64),
      name,
      'messages/s',
    );
    const sized = await rival.measure(65536);
    yield* bothKinds('64 KiB from guest to guest: sendv and read', large, sized, name, 'messages/s');
    rival.close();
  });

  const { sendv, notify } = run(LINEAR);
  for (const [pieces, us] of Object.entries(sendv))
    yield { case: `sendv of ${pieces} pieces of 16 bytes`, ours: us, unit: 'us' };
  for (const [entries, us] of Object.entries(notify))
    yield { case: `notify with ${entries} entries`, ours: us, unit: 'us' };
  const { alone, among } = run(LOOKUP);
  yield {
    case: 'sendv and read among 128 rings in each of 64 domains',
    ours: among,
    rival: alone,
    rivalName: 'the same with one ring',
    unit: 'us',
  };
}
