/** The native addon's ciphers for ESP (`native/binding_esp.cc`). */

export interface EspAddon {
  /**
   * A key for one direction.
   *
   * @param algorithm 0: AES-GCM; 1: AES-CBC with HMAC-SHA-256-128
   * @param second the salt (4 bytes), or the HMAC's key (32)
   * @returns the handle, or the negative errno: -95 when this process exports none of OpenSSL 3's functions
   */
  openEsp(
    sealing: boolean,
    algorithm: number,
    key: Uint8Array,
    second: Uint8Array,
    icvLength: number,
    esn: boolean,
  ): NativeEsp | number;
}

/**
 * A context that keeps its key schedule. A handle seals or opens, as it was made for. What is to be done with packets lies
 * in `jobs`, 32 of 128 bytes each. A job begins with numbers of 32 bits: offset and length in the bytes, the sequence
 * number's upper half, ESP's next header, the head's length; the sixth is the result, signed: a length, or a negative errno
 * (-74: not authentic); the seventh the offset in `out`; the eighth, not 0: a payload that lies in `out` as well. From byte
 * 32 on there is the head, at most 96 bytes: what a sealed packet begins with, up to the IV.
 */
export interface NativeEsp {
  /** Detached by close(). */
  readonly jobs: ArrayBuffer;
  /** Does the first jobs: makes packets in `out`: head, payload, padding, ICV. The result is a packet's length. */
  seal(payload: Uint8Array, out: Uint8Array, count: number): void;
  /** Does the first jobs: opens packets to `out`. The result is the plaintext's length. */
  open(bytes: Uint8Array, out: Uint8Array, count: number): void;
  /** Wipes the keys. Always 0. */
  close(): number;
}
