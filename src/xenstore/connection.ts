/** Requests and answers, and the events of watches, over one transport. */

import { encodeXsMessage, type XsMessage, XsMessageReader } from '../abi/xs_message.js';
import { XS_ERROR, XS_WATCH_EVENT, XSD_ERRORS } from '../abi/xs_wire.js';
import { XenstoreError } from './error.js';
import { checkPayload } from './path.js';
import { ascii, strings } from './text.js';
import type { XenstoreTransport } from './transport.js';

/** One request. */
export interface XsRequest {
  /** XS_... */
  readonly type: number;
  /** What it is called in errors. */
  readonly operation: string;
  readonly txId: number;
  readonly payload: Uint8Array;
  readonly path?: string | undefined;
}

/** oxenstored's listings of folders on its socket do not keep to XENSTORE_PAYLOAD_MAX. */
const LONGEST_ANSWER = 4 << 20;

interface Waiting {
  readonly request: XsRequest;
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: XenstoreError) => void;
}

/** Any number of requests may be under way; the daemon's answers say which they are for. */
export class XsConnection {
  readonly #transport: XenstoreTransport;
  readonly #reader = new XsMessageReader(LONGEST_ANSWER);
  readonly #waiting = new Map<number, Waiting>();
  /** Messages that the transport does not take yet. */
  readonly #unsent: Uint8Array[] = [];
  readonly #watches = new Map<string, (path: string) => void>();
  readonly #onEnd = new Set<(error: XenstoreError) => void>();
  #nextId = 1;
  #nextToken = 1;
  #ended: XenstoreError | null = null;
  #closedHere = false;

  constructor(transport: XenstoreTransport) {
    this.#transport = transport;
    transport.listen({
      received: (piece) => this.#received(piece),
      ended: (error) => {
        const why = error ? error.message : 'the daemon closed the connection';
        this.#end(new XenstoreError('connection', 'ENOTCONN', { hint: why }));
      },
    });
  }

  get name(): string {
    return this.#transport.name;
  }

  /** Why it is over; null: it is not. */
  get ended(): XenstoreError | null {
    return this.#ended;
  }

  /**
   * @returns the answer's payload
   * @throws RangeError the payload is longer than any may be; nothing was sent
   * @throws XenstoreError the daemon's refusal, or ENOTCONN, EPROTO
   */
  request(request: XsRequest): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const { type, operation, txId, payload, path } = request;
      checkPayload(operation, payload);
      if (this.#ended) throw about(this.#ended, operation, path);
      const reqId = this.#newId();
      this.#waiting.set(reqId, { request, resolve, reject });
      this.#send(encodeXsMessage({ type, reqId, txId, payload }));
    });
  }

  /** A token that no other watch has; `fired` is called for its events. */
  newToken(fired: (path: string) => void): string {
    const token = `xenctrl-${this.#nextToken++}`;
    this.#watches.set(token, fired);
    return token;
  }

  forgetToken(token: string): void {
    this.#watches.delete(token);
  }

  /** @returns takes the listener away again */
  onEnd(listener: (error: XenstoreError) => void): () => void {
    this.#onEnd.add(listener);
    return () => void this.#onEnd.delete(listener);
  }

  /** Whether it ended by {@link close}. */
  get closedHere(): boolean {
    return this.#closedHere;
  }

  /** Requests under way are rejected with ENOTCONN. Twice is harmless. */
  close(): void {
    if (!this.#ended) this.#closedHere = true;
    this.#end(new XenstoreError('connection', 'ENOTCONN', { hint: 'it was closed here' }));
  }

  #send(message: Uint8Array): void {
    if (this.#transport.oneAtATime && this.#waiting.size > 1) this.#unsent.push(message);
    else this.#transport.send(message);
  }

  #answered(reqId: number): void {
    this.#waiting.delete(reqId);
    const message = this.#unsent.shift();
    if (message) this.#transport.send(message);
  }

  #newId(): number {
    while (this.#waiting.has(this.#nextId)) this.#nextId = next(this.#nextId);
    const id = this.#nextId;
    this.#nextId = next(id);
    return id;
  }

  #received(piece: Uint8Array): void {
    try {
      this.#reader.take(piece, (message) => {
        if (!this.#ended) this.#take(message);
      });
    } catch (error) {
      this.#end(protocolError(error instanceof Error ? error.message : String(error)));
    }
  }

  #take(message: XsMessage): void {
    if (message.type === XS_WATCH_EVENT) {
      this.#fire(message.payload);
      return;
    }
    const waiting = this.#waiting.get(message.reqId);
    if (!waiting) throw new Error(`an answer to request ${message.reqId}, which nobody made`);
    const { request, resolve, reject } = waiting;
    if (message.type === XS_ERROR) {
      this.#answered(message.reqId);
      reject(refusal(request, message.payload));
      return;
    }
    if (message.type !== request.type) {
      throw new Error(`an answer of type ${message.type} to a request of type ${request.type} (${request.operation})`);
    }
    this.#answered(message.reqId);
    resolve(message.payload);
  }

  /** An event of a watch that was just taken away is passed over. */
  #fire(payload: Uint8Array): void {
    const [path, token] = strings(payload);
    if (path === undefined || token === undefined) throw new Error('a watch event without path and token');
    this.#watches.get(token)?.(path);
  }

  #end(error: XenstoreError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#transport.close();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#unsent.length = 0;
    for (const { request, reject } of waiting) reject(about(error, request.operation, request.path));
    for (const listener of [...this.#onEnd]) listener(error);
    this.#onEnd.clear();
    this.#watches.clear();
  }
}

function next(id: number): number {
  return id === 0xffff_ffff ? 1 : id + 1;
}

function about({ code, hint }: XenstoreError, operation: string, path: string | undefined): XenstoreError {
  return new XenstoreError(operation, code, { path, hint });
}

function protocolError(hint: string): XenstoreError {
  return new XenstoreError('connection', 'EPROTO', { hint: `the daemon sent ${hint}` });
}

/** The daemon's word for it, as long as it is a word. */
function refusal({ operation, path }: XsRequest, payload: Uint8Array): XenstoreError {
  const [name = ''] = strings(payload);
  if (/^E[A-Z0-9]{1,20}$/.test(name)) {
    const known = (XSD_ERRORS as readonly string[]).includes(name);
    return new XenstoreError(operation, name, { path, hint: known ? undefined : "the daemon's own word" });
  }
  return new XenstoreError(operation, 'EPROTO', {
    path,
    hint: `the daemon refused it with ${JSON.stringify(ascii(payload.subarray(0, 40)))}`,
  });
}
