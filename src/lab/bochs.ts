/** The machine in Bochs: everything goes in and comes out through one disk. */

import { spawn } from 'node:child_process';
import { closeSync, createReadStream, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { gunzipSync } from 'node:zlib';
import { BOCHS_LINUX_ARGUMENTS, bochsConfig, bochsXenArguments } from './bochs_config.js';
import { type BochsStatus, parseStatus } from './bochs_status.js';
import { writeBootDisk } from './boot_disk.js';
import { type CarryPlan, collectFiles, withAbsoluteProgram, writeFiles } from './carry.js';
import { type DiskLayout, type Partition, STATUS_BYTES, TAR_OFFSET } from './disk_layout.js';
import { type Dom0Command, writeDom0 } from './dom0.js';
import { Emulator } from './emulator.js';
import { LabError } from './error.js';
import { GrowingFile } from './growing_file.js';
import type { Kernel } from './kernel.js';
import type { Finished, LabMachine } from './machine.js';
import type { LabOutput } from './options.js';
import { writeTo } from './output.js';
import type { Tools } from './requirements.js';
import { tarLength } from './tar_end.js';
import { TerminalDrain } from './terminal_drain.js';

export interface BochsRun extends CarryPlan {
  readonly xenArgs: string;
  readonly memoryMiB: number;
  /** Folder for the files of /run/out, or null. */
  readonly out: string | null;
  readonly environment: Dom0Command['environment'];
}

/** Names in the run's own folder, where Bochs starts. */
const FILES = { disk: 'disk.img', config: 'bochsrc', debugger: 'debugger.rc', console: 'console.log' } as const;
const LOGS = { terminal: 'bochs.out', messages: 'bochs.log' } as const;

/** Packs the machine and boots it. @param folder the run's own, empty */
export async function startBochs(
  folder: string,
  run: BochsRun,
  { tools, kernel }: { readonly tools: Tools; readonly kernel: Kernel },
  outputs: { readonly stdout: LabOutput; readonly stderr: LabOutput },
): Promise<LabMachine> {
  if (tools.firmware === null) throw new LabError('Bochs needs its firmware');
  const files = await collectFiles(run);
  const disk = join(folder, FILES.disk);
  const layout = writeBootDisk(disk, {
    xen: gunzipSync(readFileSync(tools.xen)),
    xenArgs: bochsXenArguments(run.memoryMiB, run.xenArgs),
    vmlinux: kernel.vmlinux,
    linuxArgs: BOCHS_LINUX_ARGUMENTS,
    memoryMiB: run.memoryMiB,
    initramfs: (cpio) => {
      const argv = withAbsoluteProgram(run.command, run.cwd);
      writeDom0(cpio, 'disk', { kernel, busybox: tools.busybox, command: { ...run, argv } });
      cpio.folder(run.cwd);
      cpio.folder(run.environment['HOME'] ?? '/root');
      writeFiles(cpio, files);
    },
  });
  const config = { ...FILES, memoryMiB: run.memoryMiB, bios: tools.firmware.bios, vgaBios: tools.firmware.vga };
  writeFileSync(join(folder, FILES.config), bochsConfig({ ...config, log: LOGS.messages }));
  // Debian's Bochs begins in its debugger; this tells it to go on.
  writeFileSync(join(folder, FILES.debugger), 'c\n');
  return new BochsMachine(folder, disk, layout, run.out, tools.emulator, outputs);
}

class BochsMachine implements LabMachine {
  readonly emulator: Emulator;
  readonly console: string;
  readonly log: string;
  readonly #disk: string;
  readonly #results: Partition;
  readonly #out: string | null;
  readonly #drain: TerminalDrain;
  readonly #streams: readonly {
    readonly file: GrowingFile;
    readonly output: LabOutput;
    readonly name: 'stdout' | 'stderr';
  }[];
  #status: BochsStatus | null = null;

  constructor(
    folder: string,
    disk: string,
    layout: DiskLayout,
    out: string | null,
    program: string,
    { stdout, stderr }: { readonly stdout: LabOutput; readonly stderr: LabOutput },
  ) {
    this.#disk = disk;
    this.#results = layout.results;
    this.#out = out;
    this.#streams = [
      { file: new GrowingFile(disk, layout.stdout.start), output: stdout, name: 'stdout' },
      { file: new GrowingFile(disk, layout.stderr.start), output: stderr, name: 'stderr' },
    ];
    const terminal = join(folder, LOGS.terminal);
    this.console = join(folder, FILES.console);
    this.log = terminal;
    this.emulator = new Emulator({
      program,
      args: ['-q', '-f', FILES.config, '-rc', FILES.debugger],
      cwd: folder,
      log: terminal,
      environment: { TERM: 'xterm' },
    });
    this.#drain = new TerminalDrain(terminal);
  }

  async poll(): Promise<Finished | null> {
    this.#drain.update();
    const status = this.#readStatus();
    if (status === null) return null;
    this.#status = status;
    for (const { file, output, name } of this.#streams) {
      for (let piece = file.next(status[name]); piece.length > 0; piece = file.next(status[name])) {
        await writeTo(output, piece);
      }
    }
    return status.done ? { exitCode: status.exitCode } : null;
  }

  async collect(): Promise<void> {
    if (this.#out === null) return;
    if (this.#status?.filesComplete === false)
      throw new LabError('the files in /run/out did not fit on the disk (2 GiB)');
    const start = this.#results.start + TAR_OFFSET;
    const fd = openSync(this.#disk, 'r');
    let length: number;
    try {
      length = tarLength(fd, start, this.#results.size - TAR_OFFSET);
    } finally {
      closeSync(fd);
    }
    if (length === 0) return;
    const tar = spawn('tar', ['-xf', '-', '-C', this.#out, '--no-same-owner'], { stdio: ['pipe', 'ignore', 'pipe'] });
    let complaint = '';
    tar.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint += text;
    });
    const ended = new Promise<number>((done) => {
      tar.once('error', () => done(127));
      tar.once('close', (code) => done(code ?? 1));
    });
    const archive = createReadStream(this.#disk, { start, end: start + length - 1 });
    archive.pipe(tar.stdin);
    await finished(tar.stdin).catch(() => {});
    if ((await ended) !== 0) throw new LabError(`the files of /run/out could not be unpacked: ${complaint.trim()}`);
  }

  close(): void {
    this.#drain.close();
  }

  #readStatus(): BochsStatus | null {
    const fd = openSync(this.#disk, 'r');
    try {
      const sector = Buffer.alloc(STATUS_BYTES);
      readSync(fd, sector, 0, STATUS_BYTES, this.#results.start);
      return parseStatus(sector);
    } finally {
      closeSync(fd);
    }
  }
}
