/**
 * A page of a device, mapped by dom0: loads and stores of 32 bits. On a real Xen a store to a page that Xen protects is a
 * page fault again and again, and whoever makes it never gets past it: so a process of its own makes it, and is killed.
 */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Target } from './target.js';

const DEVICE_PAGE_PROGRAM = fileURLToPath(new URL('./device_page_program.js', import.meta.url));
/** A store takes nanoseconds; what has not come back by then has faulted. */
const PATIENCE_MS = 4000;

export interface DevicePage {
  /** What was at an offset when the page was mapped, and after the last store that came through. */
  read(offset: number): Promise<number>;
  /** `'fault'`: it did not come through, and the page cannot be used any more. */
  store(offset: number, value: number): Promise<'done' | 'fault'>;
  close(): Promise<void>;
}

/** Maps the page of a machine frame for reading and writing, now. */
export async function mapDevicePage({ model, kind }: Target, frame: number): Promise<DevicePage> {
  if (model) {
    const entry = model.dom0.io.pv.map(frame, { write: true });
    if (typeof entry === 'number') throw new Error(`frame 0x${frame.toString(16)} cannot be mapped: ${entry}`);
    return {
      read: async (offset) => Buffer.from(entry.read(offset, 4)).readUInt32LE(),
      store: async (offset, value) =>
        entry.write(offset, new Uint8Array(Uint32Array.of(value).buffer)) === 'done' ? 'done' : 'fault',
      close: async () => model.dom0.io.pv.unmap(entry),
    };
  }
  const child = spawn(process.execPath, [DEVICE_PAGE_PROGRAM, kind, String(frame)]);
  child.stderr.pipe(process.stderr);
  const lines = new Lines(child);
  await lines.next('mapped', 30_000);
  return {
    read: async (offset) => {
      child.stdin.write(`read ${offset}\n`);
      return Number(await lines.next('read', 30_000));
    },
    store: async (offset, value) => {
      child.stdin.write(`store ${offset} ${value}\n`);
      await lines.next('storing', 30_000);
      return (await lines.next('stored', PATIENCE_MS)) === null ? 'fault' : 'done';
    },
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'close');
    },
  };
}

/** The lines that a child prints: a word, and what belongs to it. */
class Lines {
  readonly #seen: string[] = [];
  #rest = '';
  #wake: () => void = () => {};

  constructor(child: ChildProcessWithoutNullStreams) {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop() ?? '';
      this.#seen.push(...lines);
      this.#wake();
    });
    child.on('close', () => this.#wake());
  }

  /** The next line, which must begin with `word`; null: none came in time. */
  async next(word: string, milliseconds: number): Promise<string | null> {
    const end = Date.now() + milliseconds;
    while (this.#seen.length === 0) {
      const left = end - Date.now();
      if (left <= 0) return null;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const [found = '', ...more] = (this.#seen.shift() ?? '').split(' ');
    if (found !== word) throw new Error(`the process that has the page said ${found} ${more.join(' ')}, not ${word}`);
    return more.join(' ');
  }
}
