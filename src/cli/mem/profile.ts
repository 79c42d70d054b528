/** `xenctrl mem profile`: makes a profile of what a Linux kernel says of itself. */

import { readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { ImageFormatError } from '../../vmi/image_run.js';
import { linuxProfile } from '../../vmi/linux_profile.js';
import { ProfileError } from '../../vmi/profile.js';
import type { Command, Context } from '../command.js';
import { CommandError, UsageError } from '../exit.js';
import { unreadable } from './target.js';

function file({ options }: Context, name: string): Buffer {
  const path = options.get(name);
  if (path === undefined) throw new UsageError(`--${name} FILE is missing`);
  try {
    return readFileSync(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

export const profile: Command = {
  name: 'profile',
  summary: "make a Linux kernel's profile of its BTF and its symbols",
  description: [
    'All of it is in the guest itself, as files that root can read: /sys/kernel/btf/vmlinux, /proc/kallsyms and /proc/version; copy them from there, or from another machine with the very same kernel. Instead of the first an uncompressed vmlinux will do, instead of the second its System.map.',
  ],
  options: [
    { name: 'btf', value: 'FILE', help: 'BTF, or a vmlinux that has it' },
    { name: 'symbols', value: 'FILE', help: 'kallsyms or System.map' },
    { name: 'banner', value: 'FILE', help: '/proc/version: other kernels are told from this one by it' },
    { name: 'out', value: 'FILE', help: 'the profile; compressed when the name ends in .gz' },
  ],
  examples: [
    [
      'mem profile --btf btf --symbols kallsyms --banner version --out guest.json.gz',
      "of a guest's kernel, whose files were copied",
    ],
    [
      'mem profile --btf /sys/kernel/btf/vmlinux --symbols /proc/kallsyms --out here.json.gz',
      'of the kernel that runs here',
    ],
  ],
  run: (context) => {
    const btf = file(context, 'btf');
    const symbols = file(context, 'symbols').toString('latin1');
    const banner = context.options.has('banner') ? file(context, 'banner').toString('utf8') : undefined;
    const out = context.options.get('out');
    if (out === undefined) throw new UsageError('--out FILE is missing');
    const json = made({ btf, symbols, banner });
    try {
      writeFileSync(out, out.endsWith('.gz') ? gzipSync(json) : json);
    } catch (error) {
      throw unreadable(out, error);
    }
    return { json: { out, bytes: json.length }, text: (style) => [`${style.good('done')}  the profile is in ${out}`] };
  },
};

function made(parts: Parameters<typeof linuxProfile>[0]): string {
  try {
    return linuxProfile(parts);
  } catch (error) {
    if (error instanceof ProfileError || error instanceof ImageFormatError)
      throw new CommandError(error.code, error.message);
    throw error;
  }
}
