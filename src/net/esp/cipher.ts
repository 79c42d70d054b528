/** ESP's ciphers: the native addon's, or those of node:crypto where there is none. */

import { ESP_HEADER, type EspKeys, layoutOf } from './algorithm.js';
import { NativeOpener, NativeSealer } from './native_cipher.js';
import { NodeOpener, NodeSealer } from './node_cipher.js';

/** `native`: a context with its key ready, in the addon; `node`: node:crypto, which makes a new one for each packet. */
export type EspCrypto = 'native' | 'node';

/** Seals packets, some at a time: each is a job that is set first. */
export interface Sealer {
  /**
   * For each job there can be, what its packet begins with: the headers around ESP, SPI, sequence number, IV. The caller
   * keeps them up to date.
   */
  readonly heads: readonly Uint8Array[];
  /**
   * Sets a job: to make a packet in `out`: head, payload, padding, ICV.
   *
   * @param offset of the payload
   * @param sequenceHigh with ESN: the sequence number's upper half
   * @param inOut whether the payload lies in `out`, too
   */
  set(
    job: number,
    offset: number,
    length: number,
    nextHeader: number,
    sequenceHigh: number,
    outOffset: number,
    inOut: boolean,
  ): void;
  /** Does the first jobs. */
  seal(bytes: Uint8Array, out: Uint8Array, count: number): void;
  /**
   * What came of a job: the packet's length, or a negative errno: -EINVAL for a payload that is not there, -ENOSPC when
   * `out` is too short, -EBADF after close.
   */
  result(job: number): number;
  close(): void;
}

/** Opens packets. */
export interface Opener {
  /**
   * Decrypts a packet to the beginning of `out`.
   *
   * @param length of the packet, from SPI to ICV
   * @param out apart from the packet, or where its ciphertext begins
   * @returns the plaintext's length, padding and the 2 bytes after it included; -EBADMSG when the packet is not authentic,
   *   and nothing of its plaintext is in `out`; -EINVAL, -ENOSPC for lengths that cannot be; -EBADF after close
   */
  open(bytes: Uint8Array, offset: number, length: number, sequenceHigh: number, out: Uint8Array): number;
  close(): void;
}

/** Whether the addon can do it: it is there, this Node exports OpenSSL's functions, and they do what they should. */
export function nativeEsp(): boolean {
  usable ??= selfTest();
  return usable;
}

let usable: boolean | undefined;

/**
 * Makes the cipher for packets that go out.
 *
 * @param outerLength bytes of the headers around ESP
 * @throws RangeError for keys of a wrong length
 */
export function makeSealer(keys: EspKeys, esn: boolean, outerLength: number, crypto: EspCrypto): Sealer {
  const headLength = outerLength + ESP_HEADER + layoutOf(keys).ivLength;
  return crypto === 'native' ? new NativeSealer(keys, esn, headLength) : new NodeSealer(keys, esn, headLength);
}

/** Makes the cipher for packets that come in. @throws RangeError for keys of a wrong length */
export function makeOpener(keys: EspKeys, esn: boolean, crypto: EspCrypto): Opener {
  layoutOf(keys);
  return crypto === 'native' ? new NativeOpener(keys, esn) : new NodeOpener(keys, esn);
}

/** A packet of each kind sealed both ways: a libcrypto that is not quite OpenSSL is not used. */
function selfTest(): boolean {
  try {
    const key = Uint8Array.from({ length: 16 }, (_, i) => i);
    const both: readonly EspKeys[] = [
      { algorithm: 'aes-gcm', key, salt: key.subarray(0, 4) },
      { algorithm: 'aes-cbc-hmac-sha256', key, authKey: new Uint8Array(32) },
    ];
    return both.every((keys) => {
      const payload = new Uint8Array(50).fill(7);
      const [native, node] = (['native', 'node'] as const).map((crypto) => {
        const sealer = makeSealer(keys, true, 0, crypto);
        const out = new Uint8Array(200);
        sealer.set(0, 0, payload.length, 4, 1, 0, false);
        sealer.seal(payload, out, 1);
        sealer.close();
        return out;
      }) as [Uint8Array, Uint8Array];
      return native.every((byte, i) => byte === node[i]);
    });
  } catch {
    return false;
  }
}
