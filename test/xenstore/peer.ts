/** The daemon's end of a connection, in a test's hands. */

import { encodeXsMessage, type XsMessage, XsMessageReader } from '#dist/abi/xs_message.js';
import type { TransportListener, XenstoreTransport } from '#dist/xenstore/index.js';

export class Peer implements XenstoreTransport {
  readonly name = 'peer';
  /** What the client sent. */
  readonly requests: XsMessage[] = [];
  closed = false;
  /** Called for each request as it comes. */
  onRequest: (request: XsMessage) => void = () => {};
  readonly #reader = new XsMessageReader();
  #listener: TransportListener | null = null;

  listen(listener: TransportListener): void {
    this.#listener = listener;
  }

  send(message: Uint8Array): void {
    this.#reader.take(message, (request) => {
      this.requests.push(request);
      setImmediate(() => this.onRequest(request));
    });
  }

  close(): void {
    this.closed = true;
  }

  bytes(piece: Uint8Array): void {
    this.#listener?.received(piece);
  }

  give(message: Partial<XsMessage>): void {
    this.bytes(encodeXsMessage({ type: 0, reqId: 0, txId: 0, payload: new Uint8Array(0), ...message }));
  }

  end(error: Error | null = null): void {
    this.#listener?.ended(error);
  }
}

export const text = (value: string): Uint8Array => Buffer.from(value, 'latin1');
