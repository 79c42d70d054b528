/**
 * The boot loader: one sector that copies the memory image from the disk to where it belongs and jumps into Xen.
 *
 * GRUB takes 25 seconds in Bochs for what this does in three, and needs three more packages to make its image.
 * The BIOS reads 32 KiB pieces to below 1 MiB; each is copied up with 4 GiB segment limits, which real mode keeps
 * after a look into protected mode. Then Xen is entered as the Multiboot specification (version 1) asks.
 */

import { LOAD_PIECE, SECTOR } from './disk_layout.js';

export interface BootPlan {
  /** Physical address of the memory image's first byte. */
  readonly loadAddress: number;
  readonly imageBytes: number;
  /** Physical address of the Multiboot information. */
  readonly multibootInfo: number;
  readonly entry: number;
}

/** Where the BIOS puts the boot sector. */
const ORIGIN = 0x7c00;
/** Where the BIOS puts each piece: 64 KiB, free between the boot sector and the BIOS' own data. */
const BUFFER = 0x10000;
const MULTIBOOT_MAGIC = 0x2badb002;
/** Selectors of the flat code and data segment in the table below. */
const CODE = 8;
const DATA = 16;

/** Machine code with places to be filled in once their address is known. */
class Assembler {
  readonly #bytes: number[] = [];
  readonly #holes: { readonly at: number; readonly label: string; readonly relative: boolean }[] = [];
  readonly #labels = new Map<string, number>();

  emit(...bytes: readonly number[]): this {
    this.#bytes.push(...bytes);
    return this;
  }

  u16(value: number): this {
    return this.emit(value & 0xff, (value >> 8) & 0xff);
  }

  u32(value: number): this {
    return this.u16(value).u16(value >>> 16);
  }

  label(name: string): this {
    this.#labels.set(name, this.#bytes.length);
    return this;
  }

  /** The 16-bit address of a label. */
  address(label: string): this {
    this.#holes.push({ at: this.#bytes.length, label, relative: false });
    return this.u16(0);
  }

  /** The 16-bit distance from behind this field to a label, for a near jump. */
  distance(label: string): this {
    this.#holes.push({ at: this.#bytes.length, label, relative: true });
    return this.u16(0);
  }

  align(step: number): this {
    while (this.#bytes.length % step !== 0) this.emit(0);
    return this;
  }

  finish(): Buffer {
    const code = Buffer.from(this.#bytes);
    for (const { at, label, relative } of this.#holes) {
      const target = this.#labels.get(label);
      if (target === undefined) throw new Error(`the boot sector has no ${label}`);
      if (relative) code.writeInt16LE(target - (at + 2), at);
      else code.writeUInt16LE(ORIGIN + target, at);
    }
    return code;
  }
}

/** The boot sector without a partition table. */
export function makeBootSector({ loadAddress, imageBytes, multibootInfo, entry }: BootPlan): Buffer {
  const asm = new Assembler();
  // Segments at 0, stack below the code, remember the boot drive, A20 on.
  asm.emit(0xfa); //                                   cli
  asm.emit(0x31, 0xc0); //                             xor  ax, ax
  asm.emit(0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0); //     mov  ds, ax / es, ax / ss, ax
  asm.emit(0xbc).u16(ORIGIN); //                       mov  sp, ORIGIN
  asm.emit(0x88, 0x16).address('drive'); //            mov  [drive], dl
  asm.emit(0xe4, 0x92, 0x0c, 0x02, 0xe6, 0x92); //     in al, 0x92 / or al, 2 / out 0x92, al

  asm.label('next');
  asm.emit(0xb4, 0x42); //                             mov  ah, 0x42: read sectors by number
  asm.emit(0x8a, 0x16).address('drive'); //            mov  dl, [drive]
  asm.emit(0xbe).address('request'); //                mov  si, request
  asm.emit(0xcd, 0x13); //                             int  0x13
  asm.emit(0x0f, 0x82).distance('stop'); //            jc   stop

  // Into protected mode and out again: ds and es keep the 4 GiB limit of the data segment.
  asm.emit(0xfa); //                                   cli
  asm.emit(0x0f, 0x01, 0x16).address('gdtr'); //       lgdt [gdtr]
  asm.emit(0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0); // mov eax, cr0 / or al, 1 / mov cr0, eax
  asm.emit(0xbb).u16(DATA); //                         mov  bx, DATA
  asm.emit(0x8e, 0xdb, 0x8e, 0xc3); //                 mov  ds, bx / es, bx
  asm.emit(0x24, 0xfe, 0x0f, 0x22, 0xc0); //           and  al, ~1 / mov cr0, eax
  asm.emit(0x31, 0xdb, 0x8e, 0xdb, 0x8e, 0xc3); //     xor  bx, bx / mov ds, bx / es, bx

  asm.emit(0x66, 0x8b, 0x3e).address('target'); //     mov  edi, [target]
  asm.emit(0x66, 0xbe).u32(BUFFER); //                 mov  esi, BUFFER
  asm.emit(0x66, 0xb9).u32(LOAD_PIECE / 4); //         mov  ecx, LOAD_PIECE / 4
  asm.emit(0xfc, 0xf3, 0x67, 0x66, 0xa5); //           cld / rep movs dword [edi], [esi]
  asm.emit(0x66, 0x89, 0x3e).address('target'); //     mov  [target], edi
  asm
    .emit(0x66, 0x83, 0x06)
    .address('sector')
    .emit(LOAD_PIECE / SECTOR); // add dword [sector], 64
  asm.emit(0x66, 0xff, 0x0e).address('left'); //       dec  dword [left]
  asm.emit(0x0f, 0x85).distance('next'); //            jnz  next

  asm.emit(0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0); // protected mode again, to stay
  asm.emit(0xea).address('flat').u16(CODE); //         jmp  CODE:flat

  asm.label('stop');
  asm.emit(0xf4, 0xe9).distance('stop'); //            hlt / jmp stop

  asm.label('flat'); // 32-bit code from here
  asm.emit(0x66, 0xb8).u16(DATA); //                   mov  ax, DATA
  asm.emit(0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x8e, 0xe0, 0x8e, 0xe8); // mov ds / es / ss / fs / gs, ax
  asm.emit(0xb8).u32(MULTIBOOT_MAGIC); //              mov  eax, magic
  asm.emit(0xbb).u32(multibootInfo); //                mov  ebx, information
  asm.emit(0xb9).u32(entry); //                        mov  ecx, entry
  asm.emit(0xff, 0xe1); //                             jmp  ecx

  asm.align(8).label('gdt').u32(0).u32(0);
  asm.u32(0x0000ffff).u32(0x00cf9b00); // code: base 0, limit 4 GiB, 32 bits
  asm.u32(0x0000ffff).u32(0x00cf9300); // data: the same, writable
  asm.label('gdtr').u16(23).address('gdt').u16(0);
  asm.align(4).label('request').u16(16); // size of this structure
  asm
    .u16(LOAD_PIECE / SECTOR)
    .u16(0)
    .u16(BUFFER >> 4); // sectors, to offset : segment
  asm.label('sector').u32(1).u32(0);
  asm.label('target').u32(loadAddress);
  asm.label('left').u32(imageBytes / LOAD_PIECE);
  asm.label('drive').emit(0);

  const sector = Buffer.alloc(SECTOR);
  asm.finish().copy(sector);
  return sector;
}
