/** ESP's ciphers on node:crypto. */

import {
  type CipherGCMTypes,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto';
import { errno } from '../../abi/errno.js';
import { ESP_HEADER, type EspKeys, type EspLayout, layoutOf } from './algorithm.js';
import type { Opener, Sealer } from './cipher.js';

/** What sealing and opening have in common: keys, and where things are in a packet. */
class NodeCipher {
  readonly layout: EspLayout;
  readonly gcm: boolean;
  readonly #esn: boolean;
  readonly #bits: number;
  /** Null once it is closed. */
  #key: KeyObject | null;
  #authKey: KeyObject | null;
  readonly #nonce = new Uint8Array(12);
  readonly #high = new Uint8Array(4);

  constructor(keys: EspKeys, esn: boolean) {
    this.layout = layoutOf(keys);
    this.gcm = keys.algorithm === 'aes-gcm';
    this.#esn = esn;
    this.#bits = keys.key.length * 8;
    this.#key = createSecretKey(keys.key);
    this.#authKey = keys.algorithm === 'aes-gcm' ? null : createSecretKey(keys.authKey);
    if (keys.algorithm === 'aes-gcm') this.#nonce.set(keys.salt);
  }

  close(): void {
    this.#key = null;
    this.#authKey = null;
    this.#nonce.fill(0);
  }

  /** The key, when there is one and the packet's lengths can be; else a negative errno. */
  check(bytes: Uint8Array, offset: number, length: number): KeyObject | number {
    const { overhead, block } = this.layout;
    if (this.#key === null) return -errno.EBADF;
    const payload = length - (overhead - 2);
    const whole = this.gcm || payload % block === 0;
    return offset >= 0 && payload > 0 && whole && offset + length <= bytes.length ? this.#key : -errno.EINVAL;
  }

  get closed(): boolean {
    return this.#key === null;
  }

  get gcmName(): CipherGCMTypes {
    return `aes-${this.#bits}-gcm` as CipherGCMTypes;
  }

  get cbcName(): string {
    return `aes-${this.#bits}-cbc`;
  }

  nonce(bytes: Uint8Array, offset: number): Uint8Array {
    this.#nonce.set(bytes.subarray(offset + ESP_HEADER, offset + ESP_HEADER + 8), 4);
    return this.#nonce;
  }

  /** RFC 4106 section 5: SPI, the sequence number's upper half if there is one, the lower one. */
  aad(bytes: Uint8Array, offset: number, sequenceHigh: number): Uint8Array {
    const header = bytes.subarray(offset, offset + ESP_HEADER);
    if (!this.#esn) return header;
    const aad = new Uint8Array(12);
    aad.set(header.subarray(0, 4));
    aad.set(this.#upper(sequenceHigh), 4);
    aad.set(header.subarray(4), 8);
    return aad;
  }

  /** The ICV over the packet's `length` bytes before it. */
  icv(bytes: Uint8Array, offset: number, length: number, sequenceHigh: number): Uint8Array {
    const hmac = createHmac('sha256', this.#authKey as KeyObject).update(bytes.subarray(offset, offset + length));
    if (this.#esn) hmac.update(this.#upper(sequenceHigh));
    return hmac.digest().subarray(0, this.layout.icvLength);
  }

  #upper(sequenceHigh: number): Uint8Array {
    new DataView(this.#high.buffer).setUint32(0, sequenceHigh);
    return this.#high;
  }
}

export class NodeSealer implements Sealer {
  readonly heads: readonly Uint8Array[];
  readonly #cipher: NodeCipher;
  /** As {@link Sealer.set} has them. There is one job: a call for each packet costs little beside the cipher. */
  #job = { offset: 0, length: 0, nextHeader: 0, sequenceHigh: 0, outOffset: 0, inOut: false };
  #result = 0;

  constructor(keys: EspKeys, esn: boolean, headLength: number) {
    this.#cipher = new NodeCipher(keys, esn);
    this.heads = [new Uint8Array(headLength)];
  }

  set(
    _job: number,
    offset: number,
    length: number,
    nextHeader: number,
    sequenceHigh: number,
    outOffset: number,
    inOut: boolean,
  ): void {
    this.#job = { offset, length, nextHeader, sequenceHigh, outOffset, inOut };
  }

  seal(bytes: Uint8Array, out: Uint8Array): void {
    const { outOffset, inOut } = this.#job;
    this.#result = outOffset > out.length ? -errno.EINVAL : this.#make(inOut ? out : bytes, out.subarray(outOffset));
  }

  result(): number {
    return this.#cipher.closed ? -errno.EBADF : this.#result;
  }

  #make(bytes: Uint8Array, out: Uint8Array): number {
    const { offset, length, nextHeader, sequenceHigh } = this.#job;
    const [head] = this.heads as [Uint8Array];
    const { ivLength, icvLength, block } = this.#cipher.layout;
    if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) return -errno.EINVAL;
    const plaintext = Math.ceil((length + 2) / block) * block;
    const total = head.length + plaintext + icvLength;
    if (total > out.length) return -errno.ENOSPC;
    out.set(bytes.subarray(offset, offset + length), head.length);
    out.set(head);
    pad(out, head.length + length, head.length + plaintext, nextHeader);
    const esp = head.length - ivLength - ESP_HEADER;
    const rc = this.#encrypt(out, esp, total - esp, sequenceHigh);
    return rc < 0 ? rc : total;
  }

  #encrypt(bytes: Uint8Array, offset: number, length: number, sequenceHigh: number): number {
    const cipher = this.#cipher;
    const key = cipher.check(bytes, offset, length);
    if (typeof key === 'number') return key;
    const { ivLength, icvLength } = cipher.layout;
    const text = offset + ESP_HEADER + ivLength;
    const end = offset + length - icvLength;
    const plaintext = bytes.subarray(text, end);
    if (cipher.gcm) {
      const gcm = createCipheriv(cipher.gcmName, key, cipher.nonce(bytes, offset), { authTagLength: icvLength });
      gcm.setAAD(cipher.aad(bytes, offset, sequenceHigh));
      bytes.set(gcm.update(plaintext), text);
      gcm.final();
      bytes.set(gcm.getAuthTag(), end);
    } else {
      const cbc = createCipheriv(cipher.cbcName, key, bytes.subarray(offset + ESP_HEADER, text)).setAutoPadding(false);
      bytes.set(cbc.update(plaintext), text);
      cbc.final();
      bytes.set(cipher.icv(bytes, offset, length - icvLength, sequenceHigh), end);
    }
    return 0;
  }

  close(): void {
    this.#cipher.close();
  }
}

/** Padding, its length and the next header, up to `end`: RFC 4303 section 2.4. */
function pad(out: Uint8Array, from: number, end: number, nextHeader: number): void {
  const count = end - 2 - from;
  for (let i = 0; i < count; i++) out[from + i] = i + 1;
  out[end - 2] = count;
  out[end - 1] = nextHeader;
}

export class NodeOpener implements Opener {
  readonly #cipher: NodeCipher;

  constructor(keys: EspKeys, esn: boolean) {
    this.#cipher = new NodeCipher(keys, esn);
  }

  open(bytes: Uint8Array, offset: number, length: number, sequenceHigh: number, out: Uint8Array): number {
    const cipher = this.#cipher;
    const key = cipher.check(bytes, offset, length);
    if (typeof key === 'number') return key;
    const { ivLength, icvLength } = cipher.layout;
    const text = offset + ESP_HEADER + ivLength;
    const end = offset + length - icvLength;
    if (end - text > out.length) return -errno.ENOSPC;
    const ciphertext = bytes.subarray(text, end);
    const icv = bytes.subarray(end, offset + length);
    let plaintext: Buffer;
    if (cipher.gcm) {
      const gcm = createDecipheriv(cipher.gcmName, key, cipher.nonce(bytes, offset), { authTagLength: icvLength });
      gcm.setAAD(cipher.aad(bytes, offset, sequenceHigh)).setAuthTag(icv);
      plaintext = gcm.update(ciphertext);
      try {
        gcm.final();
      } catch {
        plaintext.fill(0);
        return -errno.EBADMSG;
      }
    } else {
      if (!timingSafeEqual(cipher.icv(bytes, offset, length - icvLength, sequenceHigh), icv)) return -errno.EBADMSG;
      const iv = bytes.subarray(offset + ESP_HEADER, text);
      const cbc = createDecipheriv(cipher.cbcName, key, iv).setAutoPadding(false);
      plaintext = cbc.update(ciphertext);
      cbc.final();
    }
    out.set(plaintext);
    plaintext.fill(0);
    return plaintext.length;
  }

  close(): void {
    this.#cipher.close();
  }
}
