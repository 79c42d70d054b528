// net.mjs FILE: answers lines `CASE COUNT` with the nanoseconds of processor time of a pass over the capture FILE in memory.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { PacketBatch } from '#dist/net/capture/batch.js';
import { captureFormat } from '#dist/net/capture/detect.js';
import { ChecksumClassifier } from '#dist/net/classifier.js';
import { checksumSum, Nat } from '#dist/net/index.js';

const original = new Uint8Array(readFileSync(process.argv[2]));
const bytes = new Uint8Array(original.length);
const RULES = [{ kind: 'snat', source: '10.0.0.0/8', to: '192.0.2.1', ports: { min: 1024, max: 65535 } }];
const nats = {
  nat: new Nat({ rules: RULES, seed: 1 }),
  typescript: new Nat({ rules: RULES, seed: 1, engine: 'typescript' }),
};
const batch = new PacketBatch();

/** Goes through the capture as the commands do. */
function pass(scan) {
  const format = captureFormat(bytes);
  for (let at = 0; at < bytes.length; ) {
    batch.count = 0;
    at = scan(format, bytes, at, bytes.length, batch, at);
    if (batch.count === 0) return;
  }
}

/** What one writes without us: byte by byte, no connections, nothing checked. */
function plain() {
  const fold = (sum) => {
    sum = (sum & 0xffff) + Math.floor(sum / 65536);
    sum = (sum & 0xffff) + (sum >>> 16);
    return (sum & 0xffff) + (sum >>> 16);
  };
  const sum16 = (at, size) => {
    let sum = 0;
    const end = at + (size & ~1);
    for (let i = at; i < end; i += 2) sum += (bytes[i] << 8) | bytes[i + 1];
    return size & 1 ? sum + (bytes[end] << 8) : sum;
  };
  for (let at = 24; at + 16 <= bytes.length; ) {
    const size = bytes[at + 8] | (bytes[at + 9] << 8) | (bytes[at + 10] << 16);
    const ip = at + 30;
    at += 16 + size;
    const header = (bytes[ip] & 15) * 4;
    const total = (bytes[ip + 2] << 8) | bytes[ip + 3];
    const l4 = ip + header;
    const field = l4 + (bytes[ip + 9] === 6 ? 16 : 6);
    const change =
      (~((bytes[ip + 12] << 8) | bytes[ip + 13]) & 0xffff) +
      (~((bytes[ip + 14] << 8) | bytes[ip + 15]) & 0xffff) +
      0xc000 +
      0x0201;
    const partial = fold(((bytes[field] << 8) | bytes[field + 1]) + change);
    const check = ~fold((~((bytes[ip + 10] << 8) | bytes[ip + 11]) & 0xffff) + change) & 0xffff;
    bytes[ip + 10] = check >> 8;
    bytes[ip + 11] = check;
    bytes.set([192, 0, 2, 1], ip + 12);
    bytes[l4 + 1] ^= 7;
    bytes[field] = partial >> 8;
    bytes[field + 1] = partial;
    const whole = ~fold(sum16(l4, total - header)) & 0xffff || 0xffff;
    bytes[field] = whole >> 8;
    bytes[field + 1] = whole;
  }
}

const CASES = {
  nat: () => pass((...args) => nats.nat.translateNext(...args)),
  typescript: () => pass((...args) => nats.typescript.translateNext(...args)),
  plain,
  sum: () => checksumSum(bytes, 0, bytes.length),
  finish: () =>
    pass((format, ...args) => {
      const at = format.scan(...args);
      new ChecksumClassifier().classify(bytes, batch, true);
      return at;
    }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [what, count] = line.split(' ');
  let spent = 0;
  for (let i = 0; i < Number(count); i++) {
    bytes.set(original);
    const start = process.cpuUsage();
    CASES[what]();
    const { user, system } = process.cpuUsage(start);
    spent += (user + system) * 1000;
  }
  console.log(Math.round(spent / Number(count)));
}
