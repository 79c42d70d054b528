// Address translations and searches as an agent makes them, on an image in memory.

import { Introspector, MemoryImage, textPattern } from 'xenctrl/vmi';
import { serve } from '../lib/loop.mjs';

const PAGES = 16384;
const TEXT = 64 << 20;
const BASE = -0x778000000000; // 0xffff888000000000

function tables() {
  const words = new BigUint64Array((64 * 4096) / 8);
  const at = (table, index) => table / 8 + index;
  words[at(0x1000, 273)] = 0x2067n;
  words[at(0x2000, 0)] = 0x3067n;
  for (let i = 0; i < PAGES / 512; i++) {
    words[at(0x3000, i)] = BigInt(0x4067 + i * 4096);
    for (let j = 0; j < 512; j++) words[at(0x4000 + i * 4096, j)] = (BigInt(i * 512 + j) << 12n) | 0x67n;
  }
  return new Uint8Array(words.buffer);
}

function text() {
  const bytes = Buffer.alloc(TEXT);
  let seed = 1;
  for (let i = 0; i < TEXT; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    bytes[i] = seed >>> 24;
  }
  bytes.write('the needle that is found', TEXT - 100);
  return bytes;
}

const vmi = Introspector.image(MemoryImage.from(tables()));
const space = vmi.space(0x1000n);
const saved = Introspector.image(MemoryImage.from(text()));
const needle = textPattern('the needle that is found');
/** Keeps what was computed from being left out; not in the loops, where it would be a heap object each time. */
let all = 0;

/** Calls in one go: more in one loop would measure how V8 replaces a loop while it runs. */
const GO = 100_000;

function warm(count) {
  let seed = 1;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
    sum += space.translate(BASE + (seed >>> 18) * 4096 + 8);
  }
  return sum;
}

function bigint(count) {
  let seed = 1;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
    sum += space.translate(0xffff888000000000n + BigInt((seed >>> 18) * 4096 + 8));
  }
  return sum;
}

function cold(count) {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    if (i % PAGES === 0) vmi.invalidate();
    sum += space.translate(BASE + (i % PAGES) * 4096);
  }
  return sum;
}

await serve({
  warm(count) {
    for (let done = 0; done < count; done += GO) all += warm(GO);
  },
  bigint(count) {
    all += bigint(count);
  },
  cold(count) {
    all += cold(count);
  },
  async search(count) {
    for (let i = 0; i < count; i++) {
      for await (const address of saved.physical.search(needle)) all += Number(address);
    }
  },
});
if (all === 42) console.log(all);
