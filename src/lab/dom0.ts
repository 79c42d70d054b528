/** What dom0's first process needs, whatever the emulator: busybox, its scripts, the modules and the command. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CpioWriter } from './cpio.js';
import type { Kernel } from './kernel.js';
import { modulesInOrder, withoutSignature } from './modules.js';
import type { LabEngine } from './options.js';
import { programPath } from './processes.js';

/** How files and output travel: over 9p shares, or on the boot disk. */
export type Channel = '9p' | 'disk';

/** The scripts of lab/dom0, beside dist/ in the checkout and in the package. */
const SCRIPTS = fileURLToPath(new URL('../../lab/dom0/', import.meta.url));

const XEN_MODULES = ['xen-privcmd', 'xenfs', 'xen-evtchn', 'xen-gntdev', 'xen-gntalloc'];
const CHANNEL_MODULES: Readonly<Record<Channel, readonly string[]>> = {
  '9p': ['virtio_pci', '9p', '9pnet_virtio', 'overlay'],
  disk: ['ata_piix', 'sd_mod'],
};

/**
 * For dom0's kernel, whatever the emulator: no self-tests, no hardening of what lives for minutes. That is a third of
 * its boot. When it panics it must not stay.
 */
export const LINUX_ARGUMENTS = 'console=hvc0 nokaslr mitigations=off rodata=off cryptomgr.notests panic=-1';

/** The command as dom0 gets it. */
export interface Dom0Command {
  readonly argv: readonly string[];
  /** Absolute. */
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** Writes the part of the initramfs that every run has. */
export function writeDom0(
  cpio: CpioWriter,
  channel: Channel,
  { kernel, busybox, command }: { readonly kernel: Kernel; readonly busybox: string; readonly command: Dom0Command },
): void {
  for (const folder of ['/dev', '/proc', '/sys', '/lab/bin']) cpio.folder(folder);
  cpio.copy('/bin/busybox', busybox);
  cpio.file('/init', readFileSync(join(SCRIPTS, 'init')), 0o755);
  cpio.file(`/lab/${channel}`, readFileSync(join(SCRIPTS, channel)));
  cpio.file('/lab/settings', `channel=${channel}\nkernel_modules=${quote(kernel.modules)}\n`);
  cpio.file('/lab/command', commandScript(command));
  const dep = readFileSync(join(kernel.modules, 'modules.dep'), 'utf8');
  modulesInOrder(dep, [...XEN_MODULES, ...CHANNEL_MODULES[channel]]).forEach((path, index) => {
    // The shell loads them in the order of their names.
    const module = withoutSignature(readFileSync(join(kernel.modules, path)));
    cpio.file(`/lab/modules/${String(index).padStart(2, '0')}.ko`, module);
  });
}

/**
 * A shell script that sets `"$@"` to the environment, then a shell that only enters the folder and becomes the command:
 * it gets the argument vector as its own arguments and never reads them as text.
 */
export function commandScript({ argv, cwd, environment }: Dom0Command): string {
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const words = [...assignments, '/bin/sh', '-c', 'cd "$0" && exec "$@"', cwd, ...argv];
  return `set -- ${words.map(quote).join(' ')}\n`;
}

/** A word for a shell that is to take it as it is. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * The command's environment: where programs are, who runs it, and whatever is meant for this package. The rest of the
 * caller's environment speaks of another machine.
 */
export function dom0Environment(
  engine: LabEngine,
  from: NodeJS.ProcessEnv = process.env,
): Readonly<Record<string, string>> {
  const environment: Record<string, string> = {
    PATH: [dirname(process.execPath), programPath(from), ...xenPrograms(), '/lab/bin'].join(':'),
    HOME: from['HOME'] ?? '/root',
    LANG: from['LANG'] ?? 'C.UTF-8',
    TERM: 'dumb',
  };
  for (const [name, value] of Object.entries(from)) {
    if (name.startsWith('XENCTRL_') && value !== undefined) environment[name] = value;
  }
  environment['XENCTRL_LAB'] = engine;
  return environment;
}

/** xl and its kin stand outside everybody's PATH. */
function xenPrograms(): readonly string[] {
  const folder = '/usr/lib';
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^xen-\d/.test(name))
    .map((name) => join(folder, name, 'bin'));
}
