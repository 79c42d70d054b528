/**
 * A profile made of what a Linux kernel carries itself: its types (BTF) and its symbols. No package with debugging
 * information is needed.
 */

import { readBtf } from './btf.js';
import { ELF_MAGIC, sectionsOf } from './image_elf.js';
import { ProfileError } from './profile.js';

export interface LinuxProfileParts {
  /** `/sys/kernel/btf/vmlinux`, or an uncompressed vmlinux. */
  readonly btf: Uint8Array;
  /** `System.map`, or `/proc/kallsyms` as root sees it; KASLR is taken out of it. */
  readonly symbols: string;
  /** `/proc/version`: with it the profile is refused for other kernels. */
  readonly banner?: string | undefined;
}

/** Where the kernel's image begins, as linked (CONFIG_PHYSICAL_START of x86-64). */
const LINKED_TEXT = 0xffff_ffff_8100_0000n;
const KERNEL_MAP = 0xffff_ffff_8000_0000n;
const LINE = /^([0-9a-f]{8,16}) ([A-Za-z]) (\S+)$/gm;

/**
 * Makes a profile.
 *
 * @returns an ISF as JSON, for `Profile.parse` or a file
 * @throws ProfileError a part is not what it should be
 */
export function linuxProfile({ btf, symbols, banner }: LinuxProfileParts): string {
  const types = readBtf(btfIn(btf));
  const metadata = { format: '6.2.0', producer: { name: 'xenctrl' } };
  const rest = JSON.stringify({ metadata, ...types });
  return `${rest.slice(0, -1)},"symbols":{${symbolsOf(symbols, banner).join(',')}}}`;
}

/** The section `.BTF` of a vmlinux; what is no ELF file is BTF itself. */
function btfIn(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 64 || view.getUint32(0, true) !== ELF_MAGIC) return bytes;
  const section = sectionsOf(bytes).get('.BTF');
  if (!section) throw new ProfileError('this vmlinux has no section .BTF: its kernel is without BTF');
  return bytes.subarray(section.offset, section.offset + section.size);
}

/** As JSON, with addresses in full: a number of JavaScript's would not hold them. */
function symbolsOf(text: string, banner: string | undefined): string[] {
  const addresses = new Map<string, bigint>();
  // of several with one name the first stays; those of modules have the module behind their name, and do not match
  for (const [, address, , name] of text.matchAll(LINE)) {
    if (name !== undefined && !addresses.has(name)) addresses.set(name, BigInt(`0x${address}`));
  }
  const begin = addresses.get('_text') ?? addresses.get('_stext');
  if (begin === undefined) throw new ProfileError('the symbols have no _text: is this System.map, or /proc/kallsyms?');
  if (begin === 0n) throw new ProfileError('all symbols are at 0: only root is told where they are (kptr_restrict)');
  const shift = begin - LINKED_TEXT;
  return [...addresses].map(([name, address]) => {
    const linked = address >= KERNEL_MAP ? address - shift : address; // others are offsets in a processor's own data
    const constant = name === 'linux_banner' && banner !== undefined ? `,"constant_data":"${base64(banner)}"` : '';
    return `${JSON.stringify(name)}:{"address":${linked}${constant}}`;
  });
}

function base64(banner: string): string {
  return Buffer.from(`${banner.trimEnd()}\n\0`).toString('base64');
}
