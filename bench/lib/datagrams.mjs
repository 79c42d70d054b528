// Two Node processes with a Unix datagram socket between them.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Missing, ROOT } from './compile.mjs';
import { summary } from './interleave.mjs';

const TURNS = 40;
/** Bytes a turn, so that each takes some milliseconds. */
const BYTES = { 64: 64 * 3000, 65536: 65536 * 60 };

export class DatagramRival {
  #folder;
  #processes;
  #lines;

  /** @throws Missing where libc cannot be called */
  static async start() {
    try {
      await import('koffi');
    } catch {
      throw new Missing('koffi is not installed: Node by itself has no Unix datagram sockets');
    }
    if (process.platform !== 'linux') throw new Missing('the rival is for Linux');
    const rival = new DatagramRival();
    rival.#folder = mkdtempSync(join(tmpdir(), 'xenctrl-bench-'));
    const path = join(rival.#folder, 'socket');
    rival.#processes = [];
    rival.#lines = [];
    for (const role of ['receive', 'send']) {
      const program = join(ROOT, 'bench', 'children', 'datagram.mjs');
      const child = spawn(process.execPath, [program, role, path], { stdio: ['pipe', 'pipe', 'inherit'] });
      const lines = createInterface({ input: child.stdout });
      await once(lines, 'line');
      rival.#processes.push(child);
      rival.#lines.push(lines);
    }
    return rival;
  }

  /** Best and median of datagrams a second. */
  async measure(length) {
    const count = BYTES[length] / length;
    const samples = [];
    for (let turn = -3; turn < TURNS; turn++) {
      const answer = once(this.#lines[0], 'line');
      for (const { stdin } of this.#processes) stdin.write(`${length} ${count}\n`);
      const [us] = await answer;
      if (turn >= 0) samples.push(Number(us) / (count - 1));
    }
    const { best, median } = summary(samples);
    return { best: 1e6 / best, median: 1e6 / median };
  }

  close() {
    for (const { stdin } of this.#processes) stdin.end();
    rmSync(this.#folder, { recursive: true });
  }
}
