/** dom0's kernel: Debian's own, downloaded once, unpacked and kept outside the project. */

import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { xzPayload } from './bzimage.js';
import { LabError } from './error.js';
import { capture } from './processes.js';

export interface Kernel {
  /** Uncompressed, as Xen takes it. */
  readonly vmlinux: string;
  /** Folder with `kernel/` and `modules.dep`. */
  readonly modules: string;
}

/** Its dependency is the newest kernel package, whose name moves. Not the cloud flavour: that one is no dom0. */
const META_PACKAGE = 'linux-image-amd64';
const KERNEL_PACKAGE = /linux-image-(\d[^ \n]*-amd64)\b/;
/** Two thirds of the modules, and nothing that an emulated dom0 could use. */
const UNUSED = [
  'sound',
  'drivers/gpu',
  'drivers/media',
  'drivers/net/wireless',
  'drivers/infiniband',
  'drivers/staging',
];
const PREFIX = 'kernel-';

export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return join(environment['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'xenctrl-lab');
}

/**
 * The kernel from the cache, or a new one.
 *
 * Two that prepare it at once do no harm: each works in a folder of its own, and one rename wins.
 *
 * @param busybox for its depmod
 * @throws LabError that says what to do
 */
export async function prepareKernel(
  busybox: string,
  onStage: (stage: string) => void,
  cache: string = cacheFolder(),
): Promise<Kernel> {
  await mkdir(cache, { recursive: true });
  const cached = (await readdir(cache))
    .filter((name) => name.startsWith(PREFIX))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .at(-1);
  if (cached !== undefined) return kernelIn(join(cache, cached), cached.slice(PREFIX.length));

  const version = await newestVersion();
  const work = await mkdtemp(join(cache, 'preparing-'));
  try {
    onStage(`downloading Linux ${version} (70 MB, once)`);
    const unpacked = await downloadAndUnpack(version, work);
    onStage('unpacking the kernel (once)');
    const ready = join(work, 'ready');
    await trimModules(join(unpacked, 'lib', 'modules', version, 'kernel'));
    // The package has no modules.dep: a machine that installs it makes one.
    await mustSucceed(busybox, ['depmod', '-b', unpacked, version]);
    await mkdir(join(ready, 'lib'), { recursive: true });
    await rename(join(unpacked, 'lib', 'modules'), join(ready, 'lib', 'modules'));
    await unxz(xzPayload(await readFile(join(unpacked, 'boot', `vmlinuz-${version}`))), join(ready, 'vmlinux'));
    const kept = join(cache, PREFIX + version);
    await rename(ready, kept).catch(async (error: NodeJS.ErrnoException) => {
      // Somebody else was faster: a folder cannot be renamed onto one that holds something.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
    return kernelIn(kept, version);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function kernelIn(folder: string, version: string): Kernel {
  return { vmlinux: join(folder, 'vmlinux'), modules: join(folder, 'lib', 'modules', version) };
}

async function newestVersion(): Promise<string> {
  const { stdout, stderr } = await capture('apt-cache', ['depends', META_PACKAGE]);
  const version = KERNEL_PACKAGE.exec(stdout)?.[1];
  if (version === undefined) {
    throw new LabError(`apt knows no ${META_PACKAGE}${lastLine(stderr)}: run apt-get update on a Debian 12 machine`);
  }
  return version;
}

async function downloadAndUnpack(version: string, work: string): Promise<string> {
  const name = `linux-image-${version}`;
  const download = await capture('apt-get', ['download', name], work);
  const archive = (await readdir(work)).find((file) => file.startsWith(name) && file.endsWith('.deb'));
  if (download.exitCode !== 0 || archive === undefined) {
    throw new LabError(`apt-get could not download ${name}${lastLine(download.stderr)}: try apt-get update first`);
  }
  const unpacked = join(work, 'unpacked');
  await mustSucceed('dpkg', ['-x', join(work, archive), unpacked]);
  return unpacked;
}

async function trimModules(kernel: string): Promise<void> {
  await Promise.all(UNUSED.map((folder) => rm(join(kernel, folder), { recursive: true, force: true })));
}

async function mustSucceed(command: string, args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await capture(command, args);
  if (exitCode !== 0) throw new LabError(`${command} ${args[0] ?? ''} failed${lastLine(stderr)}`);
}

function unxz(payload: Buffer, file: string): Promise<void> {
  return new Promise((done, fail) => {
    const out = createWriteStream(file);
    const xz = spawn('xz', ['-dc', '--single-stream'], { stdio: ['pipe', 'pipe', 'inherit'] });
    let exitCode: number | null = null;
    const finish = (): void => {
      if (exitCode === 0 && out.writableFinished) done();
      else if (exitCode !== null && exitCode !== 0) fail(new LabError('xz could not unpack the kernel'));
    };
    xz.once('error', fail);
    out.once('error', fail).once('finish', finish);
    xz.stdin.once('error', fail);
    xz.stdout.pipe(out);
    xz.once('close', (code) => {
      exitCode = code ?? 1;
      finish();
    });
    xz.stdin.end(payload);
  });
}

/** The last line of a program's complaint, as the end of a sentence. */
function lastLine(text: string): string {
  const line = text.trim().split('\n').at(-1)?.trim() ?? '';
  return line === '' ? '' : ` (${line})`;
}
