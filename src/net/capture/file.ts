/** Captures in files, and on standard input and output. */

import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import type { ByteSource } from './reader.js';
import type { ByteSink } from './writer.js';

/** A file to be read from its beginning to its end. */
export class FileSource implements ByteSource, AsyncDisposable {
  readonly #file: FileHandle;
  /** In bytes; 0 when that is not known (a pipe). */
  readonly size: number;

  private constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.size = size;
  }

  static async open(path: string): Promise<FileSource> {
    const file = await open(path, 'r');
    try {
      const status = await file.stat();
      return new FileSource(file, status.isFile() ? status.size : 0);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async read(target: Uint8Array): Promise<number> {
    const { bytesRead } = await this.#file.read(target, 0, target.length, null);
    return bytesRead;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

/** A stream's bytes: standard input. */
export class StreamSource implements ByteSource, AsyncDisposable {
  readonly size = 0;
  readonly #parts: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#parts = stream[Symbol.asyncIterator]();
  }

  async read(target: Uint8Array): Promise<number> {
    while (this.#rest.length === 0) {
      const { value, done } = await this.#parts.next();
      if (done) return 0;
      this.#rest = value;
    }
    const count = Math.min(target.length, this.#rest.length);
    target.set(this.#rest.subarray(0, count));
    this.#rest = this.#rest.subarray(count);
    return count;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.return?.();
  }
}

/**
 * A file that takes another's place only when it is whole: {@link commit} names it; forgotten without, nothing is left
 * of it. What is no regular file (a pipe, `/dev/null`) is written as it is.
 */
export class FileSink implements ByteSink, AsyncDisposable {
  readonly #file: FileHandle;
  readonly #path: string;
  /** What it is called until it is whole; null: what it is anyway. */
  #temporary: string | null;

  private constructor(file: FileHandle, path: string, temporary: string | null) {
    this.#file = file;
    this.#path = path;
    this.#temporary = temporary;
  }

  static async create(path: string): Promise<FileSink> {
    const there = await stat(path).catch(() => null);
    if (there && !there.isFile()) return new FileSink(await open(path, 'w'), path, null);
    const temporary = `${path}.${process.pid}.part`;
    return new FileSink(await open(temporary, 'wx'), path, temporary);
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, null);
      done += bytesWritten;
    }
  }

  async commit(): Promise<void> {
    if (this.#temporary === null) return;
    await rename(this.#temporary, this.#path);
    this.#temporary = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    if (this.#temporary !== null) await rm(this.#temporary, { force: true });
  }
}

/** A stream that bytes go to: standard output. */
export class StreamSink implements ByteSink, AsyncDisposable {
  readonly #stream: NodeJS.WritableStream;

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  async commit(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
