/** A capture from one end to the other, its packets changed on the way and all else as it is. */

import type { PacketBatch } from './batch.js';
import { type ByteSource, CaptureReader, type Scan } from './reader.js';
import type { ByteSink } from './writer.js';

export interface PassOptions {
  /** Where the capture goes; none: it is only looked at. */
  readonly sink?: ByteSink;
  /** Finds the packets, and may change them already. */
  readonly scan?: Scan;
  /** What is done with the packets; they may be changed in place. */
  readonly work: (bytes: Uint8Array, batch: PacketBatch) => void;
  /** Told how many bytes are done; true: no more. */
  readonly stopped?: (position: number) => boolean;
}

/** What a pass found out about the file. */
export interface Passed {
  /** Packets that were there as a whole. */
  readonly packets: number;
  /** Bytes at the end that are a part of a packet: whoever wrote the file was interrupted. */
  readonly rest: number;
  /** Whether {@link PassOptions.stopped} said so. */
  readonly stopped: boolean;
}

/**
 * Goes through a capture; while packets are worked on, the next are read and the last are written.
 *
 * @throws CaptureError, and what source and sink throw
 */
export async function passCapture(source: ByteSource, options: PassOptions): Promise<Passed> {
  const { sink, scan, work, stopped } = options;
  const reader = new CaptureReader(source);
  let writing: Promise<void> = Promise.resolve();
  let packets = 0;
  while (await reader.next()) {
    while (reader.scan(scan)) {
      work(reader.bytes, reader.batch);
      packets += reader.batch.count;
    }
    if (sink) {
      await writing;
      writing = sink.write(reader.part);
      // an error is thrown where it is waited for
      writing.catch(() => {});
    }
    if (stopped?.(reader.position)) {
      await writing;
      return { packets, rest: 0, stopped: true };
    }
  }
  await writing;
  await sink?.write(reader.rest);
  return { packets, rest: reader.rest.length, stopped: false };
}
