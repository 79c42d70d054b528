/** Prints each hypercall: what `XENCTRL_TRACE` asks for. */

import { openSync, writeSync } from 'node:fs';
import { isRelease, RELEASES, type Release } from '../abi/release.js';
import { XENVER_version } from '../abi/version.js';
import { __HYPERVISOR_xen_version } from '../abi/xen.js';
import { type Hypervisor, PROT_EXEC, PROT_READ, PROT_WRITE } from '../hypervisor/port.js';
import { decode } from './decode.js';
import type { Observer } from './decorate.js';
import { type Colours, formatCall, NO_COLOURS, TERMINAL_COLOURS } from './format.js';

/** Takes finished lines. */
export type Print = (line: string) => void;

export class Tracer implements Observer {
  readonly #hypervisor: Hypervisor;
  readonly #print: Print;
  readonly #colours: Colours;
  #release: Release | null = null;

  constructor(hypervisor: Hypervisor, print: Print, colours: Colours = NO_COLOURS) {
    this.#hypervisor = hypervisor;
    this.#print = print;
    this.#colours = colours;
  }

  hypercall(op: number, args: readonly number[]): (rc: number, micros: number) => void {
    const decoded = decode(this.#release, op, args, this.#hypervisor.arena);
    return (rc, micros) => {
      if (op === __HYPERVISOR_xen_version && (args[0] ?? 0) === XENVER_version && rc >= 0) {
        this.#release = layoutsOf(rc);
      }
      const out = rc < 0 ? {} : (decoded.out?.(rc) ?? {});
      this.#print(formatCall(decoded, rc, out, micros, this.#release, this.#colours));
    };
  }

  mapped(domid: number, gfns: readonly number[], prot: number, rc: number, micros: number): void {
    const rights = [prot & PROT_READ ? 'r' : '', prot & PROT_WRITE ? 'w' : '', prot & PROT_EXEC ? 'x' : ''].join('');
    const decoded = { name: 'mapForeign', domid, args: { gfns, prot: rights }, exact: true };
    this.#print(formatCall(decoded, rc, {}, micros, this.#release, this.#colours));
  }
}

/** The release whose layouts a Xen has. A newer one than any that is known is taken for the newest. */
export function layoutsOf(version: number): Release | null {
  const name = `${version >>> 16}.${version & 0xffff}`;
  if (isRelease(name)) return name;
  const newest = RELEASES[RELEASES.length - 1] ?? null;
  const [, minor = 0] = (newest ?? '').split('.').map(Number);
  return version >>> 16 > 4 || (version >>> 16 === 4 && (version & 0xffff) > minor) ? newest : null;
}

/** Prints to standard error, in colours where it is a terminal and `NO_COLOR` does not forbid it. */
export function traceToStderr(hypervisor: Hypervisor): Tracer {
  const { NO_COLOR } = process.env;
  const colours = process.stderr.isTTY && !NO_COLOR ? TERMINAL_COLOURS : NO_COLOURS;
  return new Tracer(hypervisor, (line) => process.stderr.write(`${line}\n`), colours);
}

/** Descriptors of the files traced to, by path: one for all handles of the process. Null: it could not be written to. */
const files = new Map<string, number | null>();

/** Appends to a file, each line with one write, so that the lines of several processes do not mix. */
export function traceToFile(hypervisor: Hypervisor, path: string): Tracer {
  if (!files.has(path)) files.set(path, openSync(path, 'a'));
  return new Tracer(hypervisor, (line) => append(path, line));
}

/** A disk that is full ends the trace, and not the session. */
function append(path: string, line: string): void {
  const fd = files.get(path) ?? null;
  if (fd === null) return;
  try {
    writeSync(fd, `${line}\n`);
  } catch (error) {
    files.set(path, null);
    process.emitWarning(`the trace ${path} ends here: ${String(error)}`, { code: 'XENCTRL_TRACE' });
  }
}
