/** Reading a capture of any size with a few buffers: the next part is read while one is worked on. */

import { PacketBatch } from './batch.js';
import { captureFormat } from './detect.js';
import type { CaptureFormat } from './format.js';

/** {@link CaptureFormat.scan} of a format. */
export type Scan = (format: CaptureFormat, ...args: Parameters<CaptureFormat['scan']>) => number;

const scanWithFormat: Scan = (format, ...args) => format.scan(...args);

/** Where bytes come from. */
export interface ByteSource {
  /** Reads some; 0: there are no more. */
  read(target: Uint8Array): Promise<number>;
}

/** Bytes read at once: small enough to stay in a processor's cache until they are worked on. */
const PART = 1 << 20;
/** Room before them for the beginning of a packet whose end they have. */
const ROOM = 64 << 10;

/** One that is read, one that is worked on, one that is still written. */
const BUFFERS = 3;

/**
 * Goes through a capture, part by part, and through the packets of each part, batch by batch:
 *
 *     while (await reader.next()) {
 *       while (reader.scan()) work(reader.bytes, reader.batch);
 *       await sink.write(reader.part);
 *     }
 *
 * The packets may be changed in place. Parts put together are the file, whatever it has between its packets; each stays
 * as it is while the following one is worked on, and no longer.
 */
export class CaptureReader {
  readonly batch = new PacketBatch();
  bytes: Uint8Array = new Uint8Array(0);
  format: CaptureFormat | null = null;
  readonly #source: ByteSource;
  readonly #buffers: Uint8Array[] = [];
  /** Number of the part that is read. */
  #part = 0;
  #ahead: Promise<number> | null = null;
  /** Where the part begins, how far it was gone through, and where the bytes end that are there. */
  #from = 0;
  #to = 0;
  #end = 0;
  /** Of {@link #from} in the file. */
  #position = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** What was gone through since {@link next}. */
  get part(): Uint8Array {
    return this.bytes.subarray(this.#from, this.#to);
  }

  /** What is there and not whole yet; after the last part, what the file ends with. */
  get rest(): Uint8Array {
    return this.bytes.subarray(this.#to, this.#end);
  }

  /** Where in the file {@link rest} begins. */
  get position(): number {
    return this.#position + this.#to - this.#from;
  }

  /** Goes on to the next part. @returns false at the end */
  async next(): Promise<boolean> {
    this.#position = this.position;
    this.#from = this.#to;
    if (await this.#readOn()) return true;
    // less than a header may be a whole file, and is no capture
    if (this.format === null) this.#detect();
    return false;
  }

  /**
   * Finds the next packets of the part.
   *
   * @param scan finds them, and may do more; default: the format's own
   * @returns false: there are no more whole ones
   * @throws CaptureError
   */
  scan(scan: Scan = scanWithFormat): boolean {
    this.batch.count = 0;
    if (this.format === null) return false;
    const before = this.#to;
    this.#to = scan(this.format, this.bytes, before, this.#end, this.batch, this.position);
    return this.#to > before;
  }

  async #readOn(): Promise<boolean> {
    this.#ahead ??= this.#startReading();
    const count = await this.#ahead;
    if (count === 0) {
      this.#ahead = Promise.resolve(0);
      return false;
    }
    const buffer = this.#buffer();
    const rest = this.rest;
    if (rest.length <= ROOM) {
      buffer.set(rest, ROOM - rest.length);
      this.#hold(buffer, ROOM - rest.length, ROOM + count);
    } else {
      const both = new Uint8Array(rest.length + count);
      both.set(rest);
      both.set(buffer.subarray(ROOM, ROOM + count), rest.length);
      this.#hold(both, 0, both.length);
    }
    this.#part++;
    this.#ahead = this.#startReading();
    if (this.format === null && this.#end - this.#from >= 24) this.#detect();
    return true;
  }

  #hold(bytes: Uint8Array, from: number, end: number): void {
    this.bytes = bytes;
    this.#from = from;
    this.#to = from;
    this.#end = end;
  }

  #buffer(): Uint8Array {
    const at = this.#part % BUFFERS;
    this.#buffers[at] ??= new Uint8Array(ROOM + PART);
    return this.#buffers[at];
  }

  #startReading(): Promise<number> {
    const reading = this.#source.read(this.#buffer().subarray(ROOM));
    // whoever asks for the next part hears of it
    reading.catch(() => {});
    return reading;
  }

  #detect(): void {
    this.format = captureFormat(this.rest);
  }
}
