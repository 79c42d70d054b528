/** Bochs' configuration file, and the command lines of what it boots. */

import { LINUX_ARGUMENTS } from './dom0.js';

export interface BochsPlan {
  readonly memoryMiB: number;
  readonly bios: string;
  readonly vgaBios: string;
  readonly disk: string;
  readonly console: string;
  readonly log: string;
}

/**
 * The Haswell model has all that altp2m needs. Emulated seconds are instructions divided by `ips`: with fewer of them
 * the waits of BIOS and kernel are shorter, with too few the clock ticks take over; 50 million was the fastest boot.
 * The terminal display is the one that listens on no port.
 */
export function bochsConfig({ memoryMiB, bios, vgaBios, disk, console, log }: BochsPlan): string {
  return [
    'cpu: model=corei7_haswell_4770, count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1',
    `memory: guest=${memoryMiB}, host=${memoryMiB}`,
    `romimage: file=${bios}`,
    `vgaromimage: file=${vgaBios}`,
    'display_library: term',
    'vga: extension=vbe, update_freq=1',
    'sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy',
    'clock: sync=none, time0=1700000000',
    'ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14',
    `ata0-master: type=disk, path=${disk}, mode=flat`,
    'boot: disk',
    `com1: enabled=1, mode=file, dev=${console}`,
    `log: ${log}`,
    'panic: action=fatal',
    // Xen's guests touch registers that this processor has not: thousands of lines of no interest.
    'error: action=ignore',
    'info: action=ignore',
    'debug: action=ignore',
    '',
  ].join('\n');
}

/**
 * Xen's command line. The first word is dropped, as a boot loader puts the file's name there. The buffer: without it
 * Xen loses output when the serial line is slow. The rest keeps Xen from testing, scrubbing and mitigating.
 */
export function bochsXenArguments(memoryMiB: number, more: string): string {
  const dom0 = Math.floor(memoryMiB / 2);
  return [
    'xen serial_tx_buffer=8M com1=115200,8n1 console=com1',
    `dom0_mem=${dom0}M,max:${dom0}M dom0_max_vcpus=1`,
    'spec-ctrl=no xpti=no ucode=no iommu=no watchdog=0 tsc=unstable bootscrub=0 altp2m=1',
    more,
  ]
    .join(' ')
    .trim();
}

/** The first word is dropped as well. */
export const BOCHS_LINUX_ARGUMENTS = `vmlinux ${LINUX_ARGUMENTS} tsc=reliable loglevel=4`;
