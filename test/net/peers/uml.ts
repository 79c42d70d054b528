/**
 * A Linux kernel of its own as the far end: user-mode-linux, whose network card is the end of a cable. Most kernels that
 * tests run on have ESP as a module or not at all; this one has it, and counts for itself.
 */

import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Rig } from '../rig.js';

const PACKAGE = 'user-mode-linux';
/** The package unpacked: installing it is not needed. */
const CACHE = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'xenctrl-net', PACKAGE);
const INIT = resolve('test/net/peers/uml-init.sh');
const PTRACE = resolve('test/net/peers/uml_ptrace.c');

/** Fetches the kernel unless it is there. @returns why there can be none; null: there is one */
export function noUml(): string | null {
  if (process.arch !== 'x64') return 'user-mode-linux is for x86-64';
  for (const program of ['busybox', 'python3', 'ip', 'dpkg', 'cc']) {
    if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) {
      return `${program} is not installed (apt install busybox-static python3 iproute2 gcc libc6-dev)`;
    }
  }
  if (existsSync(join(CACHE, 'usr/bin/linux.uml'))) return null;
  mkdirSync(CACHE, { recursive: true });
  const fetched = spawnSync(
    'sh',
    ['-ec', `apt-get download -qq ${PACKAGE} && dpkg -x ${PACKAGE}_*.deb . && rm ${PACKAGE}_*.deb`],
    {
      cwd: CACHE,
      encoding: 'utf8',
    },
  );
  return fetched.status === 0 ? null : `${PACKAGE} cannot be fetched (apt-get update?): ${fetched.stderr.trim()}`;
}

export class Uml implements AsyncDisposable {
  readonly #child: ChildProcess;
  #printed = '';
  /** Fires when more was printed, or the kernel has ended. */
  #more: (() => void) | null = null;

  private constructor(child: ChildProcess) {
    this.#child = child;
    const add = (text: string): void => {
      this.#printed += text;
      this.#more?.();
    };
    child.stdout?.setEncoding('utf8').on('data', add);
    child.once('exit', () => this.#more?.());
  }

  /**
   * Boots the kernel.
   *
   * @param namespace where its cable ends, in the interface `wire`, which it has to itself
   * @param folder for what it needs while it runs
   */
  static async start(rig: Rig, namespace: string, wire: string, folder: string): Promise<Uml> {
    const modules = join(CACHE, 'usr/lib/uml/modules');
    const [release = ''] = readdirSync(modules);
    rig.sh(namespace, `ip link set ${wire} promisc on`);
    mkdirSync(folder, { recursive: true });
    const ptrace = join(folder, 'ptrace.so');
    execFileSync('cc', ['-shared', '-fPIC', '-O2', PTRACE, '-o', ptrace]);
    const child = rig.spawn(
      namespace,
      'env',
      [
        [`LD_PRELOAD=${ptrace}`, join(CACHE, 'usr/bin/linux.uml')],
        'mem=192M rootfstype=hostfs root=/dev/root rootflags=/ ro con=null con0=fd:0,fd:1 quiet'.split(' '),
        `init=${INIT}`,
        `uml_modules=${join(modules, release)}`,
        // frames that it sends have their checksums, and of those that come it believes none
        `vec0:transport=raw,ifname=${wire},depth=128`,
        [`uml_dir=${folder}`, `umid=far-end`],
      ].flat(),
      { stdio: ['pipe', 'pipe', 'ignore'], env: { ...process.env, TMPDIR: '/dev/shm' } },
    );
    const uml = new Uml(child);
    await uml.#answer('its boot');
    return uml;
  }

  /** Runs a line of shell in it. @returns what it printed @throws Error when it fails, with that */
  async sh(line: string): Promise<string> {
    this.#child.stdin?.write(`${line}\n`);
    return await this.#answer(line);
  }

  async #answer(line: string): Promise<string> {
    for (;;) {
      const [whole, printed = '', status] = /^([\s\S]*?)^=== (\d+)\r?\n/m.exec(this.#printed) ?? [];
      if (whole !== undefined) {
        this.#printed = this.#printed.slice(whole.length);
        if (status !== '0') throw new Error(`${line} (in user-mode-linux): ${printed}`);
        return printed;
      }
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`user-mode-linux has ended at ${line}: ${this.#printed}`);
      }
      await new Promise<void>((resolve) => {
        this.#more = resolve;
      });
    }
  }

  /** Has it power off. */
  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.stdin?.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(timer);
  }
}
