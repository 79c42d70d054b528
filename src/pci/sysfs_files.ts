/** The files that Linux shows devices and drivers as: of this machine, a copy, or the software Xen's dom0. */

import { closeSync, constants, openSync, readdirSync, readFileSync, readlinkSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';

/** A tree of files. Paths begin with `/sys/`. Errors have a `code`, as those of node's have. */
export interface Sysfs {
  /** The bytes of a file. @throws `ENOENT`, `EACCES` */
  read(path: string): Uint8Array;
  /** Writes to a file that exists. What the kernel does with it happens before this returns. @throws the kernel's error */
  write(path: string, text: string): void;
  /** The last name of where a link leads; null: there is no such link. */
  link(path: string): string | null;
  /** The names in a folder; none when there is no such folder. */
  list(path: string): readonly string[];
  /** Those that are folders themselves, and no links. */
  folders(path: string): readonly string[];
}

/** This machine's, or a copy of it. */
export class HostSysfs implements Sysfs {
  /** What the paths are below. */
  readonly #root: string;

  constructor(root = '/') {
    this.#root = root;
  }

  read(path: string): Uint8Array {
    return readFileSync(join(this.#root, path));
  }

  write(path: string, text: string): void {
    // never made when it is not there, and in one write, which is a question to the kernel: many cannot be read
    const file = openSync(join(this.#root, path), constants.O_WRONLY);
    try {
      writeSync(file, text);
    } finally {
      closeSync(file);
    }
  }

  link(path: string): string | null {
    try {
      return basename(readlinkSync(join(this.#root, path)));
    } catch {
      return null;
    }
  }

  list(path: string): readonly string[] {
    try {
      return readdirSync(join(this.#root, path));
    } catch {
      return [];
    }
  }

  folders(path: string): readonly string[] {
    try {
      return readdirSync(join(this.#root, path), { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() ? [entry.name] : [],
      );
    } catch {
      return [];
    }
  }
}

/** A file's text without blanks around it, and without the zeros that tar fills it up with; undefined: it cannot be read. */
export function readText(sysfs: Sysfs, path: string): string | undefined {
  try {
    return new TextDecoder().decode(sysfs.read(path)).replace(/\0+$/, '').trim();
  } catch {
    return undefined;
  }
}
