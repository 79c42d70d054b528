/** ESP's ciphers in the native addon. */

import { errno } from '../../abi/errno.js';
import type { NativeEsp } from '../../native/esp.js';
import { loadAddon } from '../../native/load.js';
import { type EspKeys, layoutOf } from './algorithm.js';
import type { Opener, Sealer } from './cipher.js';

// a job: src/native/esp.ts
const JOBS = 32;
const JOB_BYTES = 128;
const WORDS = JOB_BYTES / 4;
const OFFSET = 0;
const LENGTH = 1;
const SEQUENCE_HIGH = 2;
const NEXT_HEADER = 3;
const HEAD_LENGTH = 4;
const RESULT = 5;
const OUT_OFFSET = 6;
const IN_OUT = 7;
const HEAD = 32;

/** @throws Error where the addon cannot */
function openNative(sealing: boolean, keys: EspKeys, esn: boolean): NativeEsp {
  const { addon } = loadAddon();
  const gcm = keys.algorithm === 'aes-gcm';
  const second = gcm ? keys.salt : keys.authKey;
  const { icvLength } = layoutOf(keys);
  const native = addon?.openEsp(sealing, gcm ? 0 : 1, keys.key, second, icvLength, esn) ?? -errno.EOPNOTSUPP;
  if (typeof native !== 'number') return native;
  throw new Error(`the native addon has no ciphers for ESP here (errno ${native}); use { crypto: 'node' }`);
}

export class NativeSealer implements Sealer {
  readonly heads: readonly Uint8Array[];
  readonly #native: NativeEsp;
  readonly #jobs: Int32Array;
  #closed = false;

  constructor(keys: EspKeys, esn: boolean, headLength: number) {
    this.#native = openNative(true, keys, esn);
    const { jobs } = this.#native;
    this.#jobs = new Int32Array(jobs);
    this.heads = Array.from({ length: JOBS }, (_, job) => {
      this.#jobs[job * WORDS + HEAD_LENGTH] = headLength;
      return new Uint8Array(jobs, job * JOB_BYTES + HEAD, headLength);
    });
  }

  set(
    job: number,
    offset: number,
    length: number,
    nextHeader: number,
    sequenceHigh: number,
    outOffset: number,
    inOut: boolean,
  ): void {
    const jobs = this.#jobs;
    const at = job * WORDS;
    jobs[at + OFFSET] = offset;
    jobs[at + LENGTH] = length;
    jobs[at + NEXT_HEADER] = nextHeader;
    jobs[at + SEQUENCE_HIGH] = sequenceHigh;
    jobs[at + OUT_OFFSET] = outOffset;
    jobs[at + IN_OUT] = inOut ? 1 : 0;
  }

  seal(bytes: Uint8Array, out: Uint8Array, count: number): void {
    this.#native.seal(bytes, out, count);
  }

  result(job: number): number {
    return this.#closed ? -errno.EBADF : (this.#jobs[job * WORDS + RESULT] as number);
  }

  close(): void {
    this.#closed = true;
    this.#native.close();
  }
}

export class NativeOpener implements Opener {
  readonly #native: NativeEsp;
  readonly #job: Int32Array;
  #closed = false;

  constructor(keys: EspKeys, esn: boolean) {
    this.#native = openNative(false, keys, esn);
    this.#job = new Int32Array(this.#native.jobs);
  }

  open(bytes: Uint8Array, offset: number, length: number, sequenceHigh: number, out: Uint8Array): number {
    if (this.#closed) return -errno.EBADF;
    const job = this.#job;
    job[OFFSET] = offset;
    job[LENGTH] = length;
    job[SEQUENCE_HIGH] = sequenceHigh;
    this.#native.open(bytes, out, 1);
    return job[RESULT] as number;
  }

  close(): void {
    this.#closed = true;
    this.#native.close();
  }
}
