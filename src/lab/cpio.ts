/** Writes an initramfs: a cpio archive in the "newc" form that Linux unpacks. Everything in it belongs to root. */

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/** Takes the archive piece by piece, in order. */
export type Sink = (piece: Uint8Array) => void;

const MAGIC = '070701';
const TRAILER = 'TRAILER!!!';
const ALIGNMENT = 4;
/** Of a folder, a symbolic link, a plain file; the permissions come on top. */
const FOLDER = constants.S_IFDIR;
const LINK = constants.S_IFLNK;
const FILE = constants.S_IFREG;
const CHUNK = 1 << 20;

export class CpioWriter {
  readonly #sink: Sink;
  readonly #folders = new Set<string>();
  #inode = 0;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** A folder and those above it. Twice is harmless. @param path absolute */
  folder(path: string): void {
    const parts = path.split('/').filter(Boolean);
    for (let depth = 1; depth <= parts.length; depth++) {
      const name = parts.slice(0, depth).join('/');
      if (this.#folders.has(name)) continue;
      this.#folders.add(name);
      this.#header(name, FOLDER | 0o755, 0);
    }
  }

  /** A file with these contents, and the folders above it. @param path absolute */
  file(path: string, contents: Uint8Array | string, mode = 0o644): void {
    const bytes = typeof contents === 'string' ? Buffer.from(contents) : contents;
    this.#begin(path, FILE | mode, bytes.length);
    this.#sink(bytes);
    this.#pad(bytes.length);
  }

  /** A copy of a file of this machine, executable where it is so here. @param path absolute */
  copy(path: string, source: string): void {
    const fd = openSync(source, 'r');
    try {
      const { size, mode } = fstatSync(fd);
      this.#begin(path, FILE | (mode & 0o777), size);
      const chunk = Buffer.alloc(Math.min(size, CHUNK));
      for (let left = size; left > 0; ) {
        const read = readSync(fd, chunk, 0, Math.min(left, chunk.length), null);
        if (read === 0) throw new Error(`${source} became shorter while it was read`);
        this.#sink(Buffer.from(chunk.subarray(0, read)));
        left -= read;
      }
      this.#pad(size);
    } finally {
      closeSync(fd);
    }
  }

  /** A symbolic link. @param path absolute */
  link(path: string, target: string): void {
    const bytes = Buffer.from(target);
    this.#begin(path, LINK | 0o777, bytes.length);
    this.#sink(bytes);
    this.#pad(bytes.length);
  }

  end(): void {
    this.#header(TRAILER, 0, 0);
  }

  #begin(path: string, mode: number, size: number): void {
    this.folder(path.slice(0, path.lastIndexOf('/')));
    this.#header(path.slice(1), mode, size);
  }

  #header(name: string, mode: number, size: number): void {
    const encoded = Buffer.from(`${name}\0`);
    // ino, mode, uid, gid, nlink, mtime, filesize, dev (2), rdev (2), namesize, check
    const fields = [++this.#inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, encoded.length, 0];
    const text = MAGIC + fields.map((field) => field.toString(16).padStart(8, '0')).join('');
    this.#sink(Buffer.concat([Buffer.from(text), encoded]));
    this.#pad(text.length + encoded.length);
  }

  #pad(written: number): void {
    const rest = written % ALIGNMENT;
    if (rest > 0) this.#sink(new Uint8Array(ALIGNMENT - rest));
  }
}
