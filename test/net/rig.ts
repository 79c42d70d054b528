/** Network namespaces of a test's own, with veth cables between them. They go with the test, however it ends. */

import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const NETNS = '/run/netns';
/** Names are xctlPID-NAME, so that those of a test that was killed can be found. */
const PREFIX = 'xctl';
/** A sanitizer's runtime is for our own process. */
const env = { ...process.env, LD_PRELOAD: '' };

/** Why there can be no rig here; null: there can. */
export function noRig(): string | null {
  if (process.platform !== 'linux') return 'network namespaces are Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const probe = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8', env });
  if (probe.error) return 'ip is not installed (apt install iproute2)';
  const name = `${PREFIX}${process.pid}-probe`;
  const made = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8', env });
  spawnSync('ip', ['netns', 'del', name], { env });
  return made.status === 0 ? null : `no network namespace can be made: ${made.stderr.trim()}`;
}

export class Rig implements Disposable {
  readonly #names = new Set<string>();
  readonly #children = new Set<ChildProcess>();
  readonly #end = (): void => this[Symbol.dispose]();
  readonly #signal = (signal: NodeJS.Signals): void => {
    this.#end();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };

  constructor() {
    removeLeftovers();
    process.on('exit', this.#end).on('SIGINT', this.#signal).on('SIGTERM', this.#signal);
  }

  /** Makes a namespace, its loopback up, without IPv6. @returns its path */
  netns(name: string): string {
    const full = this.#full(name);
    run(['netns', 'add', full]);
    this.#names.add(name);
    this.sh(
      name,
      'ip link set lo up; sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1',
    );
    return this.path(name);
  }

  path(name: string): string {
    return `${NETNS}/${this.#full(name)}`;
  }

  /** A cable: `interface@namespace` at both ends, up. */
  veth(one: string, other: string): void {
    const [a = '', ans = ''] = one.split('@');
    const [b = '', bns = ''] = other.split('@');
    run(['-n', this.#full(ans), 'link', 'add', a, 'type', 'veth', 'peer', 'name', b, 'netns', this.#full(bns)]);
    this.sh(ans, `ip link set ${a} up`);
    this.sh(bns, `ip link set ${b} up`);
  }

  /** Runs a shell command in a namespace. @returns what it printed */
  sh(name: string, command: string): string {
    const { status, stdout, stderr } = spawnSync('ip', ['netns', 'exec', this.#full(name), 'sh', '-ec', command], {
      encoding: 'utf8',
      env,
    });
    if (status !== 0) throw new Error(`${command} (in ${name}): ${stderr}`);
    return stdout;
  }

  /** Starts a program in a namespace; it ends with the rig. */
  spawn(name: string, program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.#full(name), program, ...args], { env, ...options });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#end).off('SIGINT', this.#signal).off('SIGTERM', this.#signal);
    for (const child of this.#children) child.kill('SIGKILL');
    for (const name of this.#names) spawnSync('ip', ['netns', 'del', this.#full(name)], { env });
    this.#names.clear();
  }

  #full(name: string): string {
    return `${PREFIX}${process.pid}-${name}`;
  }
}

function run(args: readonly string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8', env });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}

/** What tests left that did not get to their end. */
function removeLeftovers(): void {
  let names: string[] = [];
  try {
    names = readdirSync(NETNS);
  } catch {
    return;
  }
  for (const name of names) {
    const [, pid] = new RegExp(`^${PREFIX}(\\d+)-`).exec(name) ?? [];
    if (pid !== undefined && !isAlive(Number(pid))) spawnSync('ip', ['netns', 'del', name], { env });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
