/** Saving a guest's memory to a file, and telling what changed since. */

import { open } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { checkCount, checkObject } from '../hypervisor/check.js';
import { type AsyncOptions, checkAsyncOptions, stopIfAborted } from '../xc/progress.js';
import { LIME_HEADER, limeHeader } from './image_lime.js';
import type { MemorySource } from './memory_source.js';

const CHUNK = 256;

export interface DumpOptions extends AsyncOptions {
  /**
   * `'lime'`: what is there, behind headers that say where. `'raw'`: byte n of the file is byte n of the range, holes
   * are zeroes (and take no room where the file system can do that). Default `'lime'`.
   */
  readonly format?: 'lime' | 'raw';
  /** The first frame. Default 0. */
  readonly first?: number;
  /** How many frames. Default: all that follow. */
  readonly count?: number;
}

/** What was saved. */
export interface DumpResult {
  /** Frames that had memory. */
  readonly pages: number;
  /** Frames looked at. */
  readonly frames: number;
}

/** Runs of consecutive frames that have memory, a chunk at a time. */
async function* chunks(source: MemorySource, options: DumpOptions, what: string) {
  checkObject(options, 'options');
  checkAsyncOptions(options);
  const { first = 0, count = Math.max(0, source.frames - first) } = options;
  checkCount(first, 'options.first');
  checkCount(count, 'options.count');
  const bytes = new Uint8Array(CHUNK * 4096);
  const present = new Uint8Array(CHUNK);
  for (let done = 0; done < count; ) {
    const frames = Math.min(CHUNK, count - done);
    const found = source.readFrames(first + done, frames, bytes, present);
    yield { frame: first + done, frames, bytes, present, found };
    done += frames;
    options.onProgress?.(done, count);
    stopIfAborted(options, what, done, count);
    await turn();
  }
}

/**
 * Saves guest-physical memory to a file; {@link MemoryImage.open} reads it. Pause the guest if it is to be of one moment.
 * Progress counts frames. A file that was begun and stopped is left as it is.
 *
 * @throws CallAbortedError when the signal fires
 */
export async function dumpMemory(source: MemorySource, path: string, options: DumpOptions = {}): Promise<DumpResult> {
  const { format = 'lime', first = 0 } = options;
  if (format !== 'lime' && format !== 'raw') throw new TypeError(`options.format must be lime or raw, not ${format}`);
  await using file = await open(path, 'w');
  let pages = 0;
  let frames = 0;
  /** The LiME range being written: where its header is, and its frames. */
  let range = { header: 0, frame: -1, frames: 0 };
  let end = 0;
  for await (const chunk of chunks(source, options, 'dumpMemory')) {
    pages += chunk.found;
    frames += chunk.frames;
    for (const { from, to } of runs(chunk.present, chunk.frames)) {
      const data = chunk.bytes.subarray(from * 4096, to * 4096);
      if (format === 'raw') {
        await writeAll(file, data, (chunk.frame + from - first) * 4096);
        continue;
      }
      const frame = chunk.frame + from;
      if (range.frame + range.frames !== frame) {
        range = { header: end, frame, frames: 0 };
        end += LIME_HEADER;
      }
      await writeAll(file, data, end);
      end += data.length;
      range.frames += to - from;
      await writeAll(file, limeHeader(range.frame * 4096, range.frames * 4096), range.header);
    }
  }
  if (format === 'raw') await file.truncate(frames * 4096);
  return { pages, frames };
}

type File = Awaited<ReturnType<typeof open>>;

async function writeAll(file: File, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

function* runs(present: Uint8Array, count: number): Generator<{ readonly from: number; readonly to: number }> {
  for (let from = 0; from < count; from++) {
    if (present[from] === 0) continue;
    let to = from + 1;
    while (to < count && present[to] === 1) to++;
    yield { from, to };
    from = to;
  }
}

/** A frame that is not as it was. */
export interface FrameDifference {
  readonly frame: number;
  /** `'gone'`: there is no memory any more; `'new'`: there was none. */
  readonly kind: 'changed' | 'gone' | 'new';
  /** The bytes of the frame from the first to the last that differ. */
  readonly first: number;
  readonly last: number;
}

/** Compares two states of guest-physical memory (an image and the live guest, say). Progress counts frames. */
export async function* diffMemory(
  before: MemorySource,
  after: MemorySource,
  options: AsyncOptions & { readonly first?: number; readonly count?: number } = {},
): AsyncGenerator<FrameDifference> {
  const old = new Uint8Array(CHUNK * 4096);
  const oldPresent = new Uint8Array(CHUNK);
  const { first = 0, count = Math.max(0, before.frames - first, after.frames - first) } = options;
  for await (const chunk of chunks(after, { ...options, first, count }, 'diffMemory')) {
    before.readFrames(chunk.frame, chunk.frames, old, oldPresent);
    for (let i = 0; i < chunk.frames; i++) {
      const was = oldPresent[i] === 1;
      const is = chunk.present[i] === 1;
      const frame = chunk.frame + i;
      if (was !== is) yield { frame, kind: is ? 'new' : 'gone', first: 0, last: 4095 };
      if (!was || !is) continue;
      const a = old.subarray(i * 4096, (i + 1) * 4096);
      const b = chunk.bytes.subarray(i * 4096, (i + 1) * 4096);
      if (Buffer.compare(a, b) === 0) continue;
      const from = a.findIndex((byte, at) => byte !== b[at]);
      const to = a.findLastIndex((byte, at) => byte !== b[at]);
      yield { frame, kind: 'changed', first: from, last: to };
    }
  }
}
