/** The machine in QEMU: files and output go through 9p shares. */

import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { CpioWriter } from './cpio.js';
import { type Dom0Command, LINUX_ARGUMENTS, writeDom0 } from './dom0.js';
import { Emulator } from './emulator.js';
import { GrowingFile } from './growing_file.js';
import type { Kernel } from './kernel.js';
import type { Finished, LabMachine } from './machine.js';
import type { LabOutput } from './options.js';
import { writeTo } from './output.js';
import type { Tools } from './requirements.js';

export interface QemuPlan {
  readonly xenArgs: string;
  readonly devices: readonly string[];
  readonly memoryMiB: number;
  /** Folder that becomes /run/out. Absolute. */
  readonly out: string;
}

/** Names in the run's own folder, where QEMU starts: so no path with a comma gets into its options. */
const FILES = {
  xen: 'xen',
  vmlinux: 'vmlinux',
  initramfs: 'initramfs.gz',
  console: 'console.log',
  log: 'qemu.log',
  control: 'control',
} as const;

/**
 * QEMU's options. `max` without SMAP: with it Debian's Xen and dom0 end in a crash. One processor: under TCG a second
 * one makes everything slower.
 */
export function qemuArguments({ xenArgs, devices, memoryMiB, out }: QemuPlan): readonly string[] {
  const dom0 = Math.floor(memoryMiB / 2);
  const xen = `console=com1 com1=115200,8n1 dom0_mem=${dom0}M,max:${dom0}M bootscrub=0 spec-ctrl=no loglvl=warning`;
  return [
    ...['-accel', 'tcg', '-cpu', 'max,-smap', '-smp', '1', '-m', String(memoryMiB)],
    // Nothing but what follows: no network, no display, no monitor, nothing that listens.
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-monitor', 'none', '-no-reboot'],
    ...['-serial', `file:${FILES.console}`],
    ...['-kernel', FILES.xen, '-append', `${xen} ${xenArgs}`.trim()],
    ...['-initrd', `${FILES.vmlinux} ${LINUX_ARGUMENTS} quiet,${FILES.initramfs}`],
    ...share('hostroot', '/', ',readonly=on,multidevs=remap'),
    ...share('out', out, ''),
    ...share('control', FILES.control, ''),
    ...devices.flatMap((device) => ['-device', device]),
  ];
}

function share(tag: string, path: string, more: string): readonly string[] {
  const escaped = path.replaceAll(',', ',,');
  return [
    ...['-fsdev', `local,id=${tag},path=${escaped},security_model=none${more}`],
    ...['-device', `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`],
  ];
}

/** Boots. @param folder the run's own, empty */
export function startQemu(
  folder: string,
  plan: QemuPlan,
  inputs: { readonly tools: Tools; readonly kernel: Kernel; readonly command: Dom0Command },
  { stdout, stderr }: { readonly stdout: LabOutput; readonly stderr: LabOutput },
): LabMachine {
  const { tools, kernel, command } = inputs;
  const at = (file: string): string => join(folder, file);
  writeFileSync(at(FILES.xen), gunzipSync(readFileSync(tools.xen)));
  symlinkSync(kernel.vmlinux, at(FILES.vmlinux));
  const pieces: Uint8Array[] = [];
  const cpio = new CpioWriter((piece) => pieces.push(piece));
  writeDom0(cpio, '9p', { kernel, busybox: tools.busybox, command });
  cpio.end();
  writeFileSync(at(FILES.initramfs), gzipSync(Buffer.concat(pieces), { level: 1 }));
  const control = at(FILES.control);
  mkdirSync(control);

  const emulator = new Emulator({
    program: tools.emulator,
    args: qemuArguments(plan),
    cwd: folder,
    log: at(FILES.log),
  });
  const streams = [
    [new GrowingFile(join(control, 'stdout')), stdout],
    [new GrowingFile(join(control, 'stderr')), stderr],
  ] as const;
  return {
    emulator,
    console: at(FILES.console),
    log: at(FILES.log),
    async poll(): Promise<Finished | null> {
      // Looked for first: once it is there, so is all output.
      const exit = join(control, 'exit');
      const ended = existsSync(exit);
      for (const [file, output] of streams) {
        let piece = file.next();
        await writeTo(output, piece);
        // While the command runs, a piece at a time: a flood must not keep the caller from looking at the clock.
        while (ended && piece.length > 0) {
          piece = file.next();
          await writeTo(output, piece);
        }
      }
      return ended ? { exitCode: Number(readFileSync(exit, 'utf8')) } : null;
    },
    async collect(): Promise<void> {
      // The command wrote into the folder itself.
    },
    close(): void {},
  };
}
