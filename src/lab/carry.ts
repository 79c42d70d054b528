/** The files that go into Bochs' dom0: it has no view of this machine, so what the command needs must be packed. */

import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CpioWriter } from './cpio.js';
import { LabError } from './error.js';
import { findProgram, programPath } from './processes.js';
import { sharedLibraries } from './shared_libraries.js';

/** This package: a checkout, or a folder in somebody's node_modules. */
const PACKAGE = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
/** Of this package; those that are not there are left out. Compiled addons are looked for below build/. */
const PACKAGE_PARTS = ['package.json', 'dist', 'bin', 'prebuilds', 'build/Release', 'examples'];
const NEVER = new Set(['.git', 'obj.target', '.deps']);

/** What stands at a path in dom0: a copy of a file here, a symbolic link, or a folder. */
type Entry = { readonly file: string } | { readonly link: string } | { readonly folder: true };

export interface CarryPlan {
  readonly command: readonly [string, ...string[]];
  readonly cwd: string;
  readonly include: readonly string[];
}

/**
 * Collects node and the libraries it needs, this package as built, the command's program, every argument that names a
 * file or folder, the nearest package.json, and what the user adds.
 *
 * @throws LabError for something to be included that does not exist
 */
export async function collectFiles({ command, cwd, include }: CarryPlan): Promise<ReadonlyMap<string, Entry>> {
  const cargo = new Cargo();
  cargo.add(process.execPath);
  for (const part of PACKAGE_PARTS) {
    const path = join(PACKAGE, part);
    if (existsSync(path)) cargo.add(path);
  }
  const project = nearestProject(cwd);
  if (project !== null) cargo.add(project);
  const [program, ...args] = command;
  const found = findProgram(program, programPath(), cwd);
  if (found !== null) cargo.add(found);
  for (const word of args) {
    const path = resolve(cwd, word);
    if (word !== '' && path !== '/' && path !== cwd && existsSync(path)) cargo.add(path);
  }
  for (const word of include) {
    const path = resolve(cwd, word);
    if (!existsSync(path)) throw new LabError(`--include ${word}: there is no such file or folder`);
    cargo.add(path);
  }
  await cargo.addLibraries();
  return cargo.entries;
}

/** Writes what {@link collectFiles} collected. */
export function writeFiles(cpio: CpioWriter, entries: ReadonlyMap<string, Entry>): void {
  for (const [path, entry] of entries) {
    if ('folder' in entry) cpio.folder(path);
    else if ('link' in entry) cpio.link(path, entry.link);
    else cpio.copy(path, entry.file);
  }
}

/**
 * The command with its program as an absolute path, where this machine has it: dom0's shell would otherwise take its
 * own small `ls` before the real one.
 */
export function withAbsoluteProgram(command: readonly [string, ...string[]], cwd: string): readonly string[] {
  const [program, ...args] = command;
  return [findProgram(program, programPath(), cwd) ?? program, ...args];
}

class Cargo {
  readonly entries = new Map<string, Entry>();
  readonly #programs = new Set<string>();

  /** A file, or a folder with all that is in it. @param path absolute, existing */
  add(path: string): void {
    if (this.entries.has(path)) return;
    const status = lstatSync(path);
    if (status.isSymbolicLink()) {
      this.#addLink(path);
    } else if (status.isDirectory()) {
      this.entries.set(path, { folder: true });
      for (const name of readdirSync(path)) {
        if (!NEVER.has(name)) this.add(join(path, name));
      }
    } else if (status.isFile()) {
      this.entries.set(path, { file: path });
      if ((status.mode & 0o111) !== 0 || path.endsWith('.node') || /\.so(\.|$)/.test(path)) this.#programs.add(path);
    }
  }

  /** The libraries of everything that may be a program, and the interpreters of scripts. */
  async addLibraries(): Promise<void> {
    const libraries = new Set<string>();
    for (const program of this.#programs) {
      const interpreter = scriptInterpreter(program);
      if (interpreter !== null && existsSync(interpreter)) this.add(interpreter);
    }
    for (const program of this.#programs) {
      for (const library of await sharedLibraries(program)) libraries.add(library);
    }
    // The loader looks for each under the name that it gave, whatever links lead there.
    for (const library of libraries) this.entries.set(library, { file: realpathSync(library) });
  }

  /** The link, and what it leads to, so that it leads there in dom0 too. A dangling one is left out. */
  #addLink(path: string): void {
    if (!existsSync(path)) return;
    const target = realpathSync(path);
    this.entries.set(path, {
      link: target === resolve(dirname(path), readlinkSync(path)) ? readlinkSync(path) : target,
    });
    this.add(target);
  }
}

function scriptInterpreter(path: string): string | null {
  if (statSync(path).size > 1 << 20) return null;
  return /^#! *(\/\S+)/.exec(readFileSync(path, 'latin1').slice(0, 200))?.[1] ?? null;
}

/** The package.json that governs a folder: node needs it to know which modules are ESM. */
function nearestProject(from: string): string | null {
  for (let folder = from; ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file)) return file;
    if (relative(folder, '/') === '') return null;
  }
}
