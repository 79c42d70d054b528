/** Messages of xenstore as bytes (`io/xs_wire.h`), for both ends of a connection. */

import { XENSTORE_PAYLOAD_MAX, xsd_sockmsg } from './xs_wire.js';

export interface XsMessage {
  /** XS_... */
  readonly type: number;
  readonly reqId: number;
  readonly txId: number;
  readonly payload: Uint8Array;
}

const { at, size: HEADER } = xsd_sockmsg;

/** The bytes of a message. */
export function encodeXsMessage({ type, reqId, txId, payload }: XsMessage): Uint8Array {
  const bytes = new Uint8Array(HEADER + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(at.type, type, true);
  view.setUint32(at.req_id, reqId, true);
  view.setUint32(at.tx_id, txId, true);
  view.setUint32(at.len, payload.length, true);
  bytes.set(payload, HEADER);
  return bytes;
}

/** The stream of bytes is no stream of messages; nothing more can be read from it. */
export class XsMessageError extends Error {
  override readonly name = 'XsMessageError';
}

/**
 * Takes a stream of bytes apart into messages. It holds one message at most, and what has not been taken of the last
 * piece.
 */
export class XsMessageReader {
  readonly #longest: number;
  readonly #header = new Uint8Array(HEADER);
  readonly #fields = new DataView(this.#header.buffer);
  #headerBytes = 0;
  #payload: Uint8Array | null = null;
  #payloadBytes = 0;

  /** @param longest most bytes that a payload may have */
  constructor(longest = XENSTORE_PAYLOAD_MAX) {
    this.#longest = longest;
  }

  /** Whether it stands between two messages. */
  get between(): boolean {
    return this.#headerBytes === 0;
  }

  /**
   * Takes a piece of any length.
   *
   * @param each gets the messages that it completes, with payloads of their own
   * @throws XsMessageError a message claims to be longer than any may be
   */
  take(piece: Uint8Array, each: (message: XsMessage) => void): void {
    let from = 0;
    for (;;) {
      if (!this.#payload) {
        const part = piece.subarray(from, from + HEADER - this.#headerBytes);
        this.#header.set(part, this.#headerBytes);
        this.#headerBytes += part.length;
        from += part.length;
        if (this.#headerBytes < HEADER) return;
        this.#payload = new Uint8Array(this.#checkedLength());
      }
      const part = piece.subarray(from, from + this.#payload.length - this.#payloadBytes);
      this.#payload.set(part, this.#payloadBytes);
      this.#payloadBytes += part.length;
      from += part.length;
      if (this.#payloadBytes < this.#payload.length) return;
      const message = this.#message(this.#payload);
      this.#payload = null;
      this.#headerBytes = this.#payloadBytes = 0;
      each(message);
    }
  }

  #checkedLength(): number {
    const length = this.#fields.getUint32(at.len, true);
    if (length <= this.#longest) return length;
    throw new XsMessageError(`a message of ${length} bytes: the longest that is taken has ${this.#longest}`);
  }

  #message(payload: Uint8Array): XsMessage {
    return {
      type: this.#fields.getUint32(at.type, true),
      reqId: this.#fields.getUint32(at.req_id, true),
      txId: this.#fields.getUint32(at.tx_id, true),
      payload,
    };
  }
}
