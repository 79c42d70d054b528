/**
 * BTF: the types of a Linux kernel, as the kernel itself carries them (Documentation/bpf/btf.rst). Every distribution's
 * kernel since about 5.8 has them, in `/sys/kernel/btf/vmlinux` and in the section `.BTF` of its vmlinux.
 */

import type { IsfBase, IsfEnum, IsfField, IsfStruct, IsfType } from './isf.js';
import { ProfileError } from './profile.js';

const MAGIC = 0xeb9f;
const TYPE_BYTES = 12;
const KIND_INT = 1;
const KIND_PTR = 2;
const KIND_ARRAY = 3;
const KIND_STRUCT = 4;
const KIND_UNION = 5;
const KIND_ENUM = 6;
const KIND_FWD = 7;
const KIND_TYPEDEF = 8;
const KIND_VOLATILE = 9;
const KIND_CONST = 10;
const KIND_RESTRICT = 11;
const KIND_FUNC_PROTO = 13;
const KIND_VAR = 14;
const KIND_DATASEC = 15;
const KIND_FLOAT = 16;
const KIND_DECL_TAG = 17;
const KIND_TYPE_TAG = 18;
const KIND_ENUM64 = 19;

/** Bytes behind a type: for itself, and for each of its members. */
const EXTRA: Readonly<Record<number, readonly [own: number, each: number]>> = {
  [KIND_INT]: [4, 0],
  [KIND_ARRAY]: [12, 0],
  [KIND_STRUCT]: [0, 12],
  [KIND_UNION]: [0, 12],
  [KIND_ENUM]: [0, 8],
  [KIND_FUNC_PROTO]: [0, 8],
  [KIND_VAR]: [4, 0],
  [KIND_DATASEC]: [0, 12],
  [KIND_DECL_TAG]: [4, 0],
  [KIND_ENUM64]: [0, 12],
};

/** What says nothing about how bytes lie. */
const TRANSPARENT: ReadonlySet<number> = new Set([
  ...[KIND_TYPEDEF, KIND_VOLATILE, KIND_CONST, KIND_RESTRICT, KIND_TYPE_TAG],
]);
/** Of the encoding of an integer. */
const SIGNED = 1;
const CHAR = 2;
const BOOL = 4;
/** Typedefs of typedefs, and pointers to pointers. */
const DEEPEST = 64;

/** Types as an ISF has them. */
export interface BtfTypes {
  readonly base_types: Readonly<Record<string, IsfBase>>;
  readonly user_types: Readonly<Record<string, IsfStruct>>;
  readonly enums: Readonly<Record<string, IsfEnum>>;
}

/** @throws ProfileError it is no BTF, or broken */
export function readBtf(bytes: Uint8Array): BtfTypes {
  try {
    return new Btf(bytes).types();
  } catch (error) {
    if (error instanceof RangeError) throw new ProfileError(`the BTF is broken: ${error.message}`);
    throw error;
  }
}

class Btf {
  readonly #view: DataView;
  readonly #strings: Uint8Array;
  /** Where each type begins, by its number; type 0 is void. */
  readonly #at: number[] = [0];
  readonly #base: Record<string, IsfBase> = {
    pointer: { size: 8, signed: false, kind: 'int', endian: 'little' },
    void: { size: 0, signed: false, kind: 'void', endian: 'little' },
  };

  constructor(bytes: Uint8Array) {
    const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < 24 || header.getUint16(0, true) !== MAGIC) throw new ProfileError('this is no BTF');
    const [length, typeOffset, typeBytes, stringOffset, stringBytes] = [4, 8, 12, 16, 20].map((at) =>
      header.getUint32(at, true),
    ) as [number, number, number, number, number];
    if (length + Math.max(typeOffset + typeBytes, stringOffset + stringBytes) > bytes.length) {
      throw new ProfileError('the BTF is cut off');
    }
    this.#view = new DataView(bytes.buffer, bytes.byteOffset + length + typeOffset, typeBytes);
    this.#strings = bytes.subarray(length + stringOffset, length + stringOffset + stringBytes);
    for (let at = 0; at < typeBytes; ) {
      this.#at.push(at);
      const [own, each] = EXTRA[this.#kind(at)] ?? [0, 0];
      at += TYPE_BYTES + own + each * this.#count(at);
    }
  }

  types(): BtfTypes {
    const user_types: Record<string, IsfStruct> = {};
    const enums: Record<string, IsfEnum> = {};
    for (let id = 1; id < this.#at.length; id++) {
      const at = this.#place(id);
      const kind = this.#kind(at);
      const name = this.#nameOf(id);
      // of several with one name the first is the kernel's own
      if ((kind === KIND_STRUCT || kind === KIND_UNION) && !Object.hasOwn(user_types, name)) {
        user_types[name] = this.#struct(at, kind === KIND_UNION ? 'union' : 'struct');
      } else if ((kind === KIND_ENUM || kind === KIND_ENUM64) && !Object.hasOwn(enums, name)) {
        enums[name] = this.#enum(at, kind);
      }
    }
    return { base_types: this.#base, user_types, enums };
  }

  #struct(at: number, kind: 'struct' | 'union'): IsfStruct {
    const fields: Record<string, IsfField> = {};
    const bitfields = this.#info(at) >>> 31 !== 0;
    for (let i = 0; i < this.#count(at); i++) {
      const member = at + TYPE_BYTES + i * 12;
      const name = this.#text(this.#view.getUint32(member, true));
      const where = this.#view.getUint32(member + 8, true);
      const bits = bitfields ? where >>> 24 : 0;
      const first = bitfields ? where & 0xff_ffff : where;
      const type = this.#type(this.#view.getUint32(member + 4, true));
      fields[name === '' ? `unnamed_field_${i}` : name] = {
        offset: first >>> 3,
        type: bits === 0 ? type : { kind: 'bitfield', bit_position: first & 7, bit_length: bits, type },
        ...(name === '' ? { anonymous: true } : {}),
      };
    }
    return { kind, size: this.#view.getUint32(at + 8, true), fields };
  }

  #enum(at: number, kind: number): IsfEnum {
    const signed = this.#info(at) >>> 31 !== 0;
    const constants: Record<string, number> = {};
    for (let i = 0; i < this.#count(at); i++) {
      const member = at + TYPE_BYTES + i * (kind === KIND_ENUM ? 8 : 12);
      const name = this.#text(this.#view.getUint32(member, true));
      if (kind === KIND_ENUM) constants[name] = this.#view.getInt32(member + 4, true);
      else
        constants[name] = Number(
          (signed ? this.#view.getBigInt64 : this.#view.getBigUint64).call(this.#view, member + 4, true),
        );
    }
    const size = this.#view.getUint32(at + 8, true);
    const base = this.#addBase(`${signed || kind === KIND_ENUM ? '' : 'unsigned '}enum ${size}`, size, signed, 'int');
    return { size, base, constants };
  }

  /** A type as it is referred to. */
  #type(id: number, depth = 0): IsfType {
    if (id === 0) return { kind: 'base', name: 'void' };
    if (depth > DEEPEST) throw new RangeError(`type ${id} refers to itself`);
    const at = this.#place(id);
    const kind = this.#kind(at);
    const referred = (): IsfType => this.#type(this.#view.getUint32(at + 8, true), depth + 1);
    if (TRANSPARENT.has(kind)) return referred();
    switch (kind) {
      case KIND_INT:
        return this.#int(at);
      case KIND_FLOAT: {
        const size = this.#view.getUint32(at + 8, true);
        return { kind: 'base', name: this.#addBase(this.#text(this.#view.getUint32(at, true)), size, true, 'float') };
      }
      case KIND_PTR:
        return { kind: 'pointer', subtype: referred() };
      case KIND_ARRAY:
        return {
          kind: 'array',
          count: this.#view.getUint32(at + 20, true),
          subtype: this.#type(this.#view.getUint32(at + 12, true), depth + 1),
        };
      case KIND_STRUCT:
        return { kind: 'struct', name: this.#nameOf(id) };
      case KIND_UNION:
        return { kind: 'union', name: this.#nameOf(id) };
      case KIND_FWD:
        return { kind: this.#info(at) >>> 31 === 0 ? 'struct' : 'union', name: this.#nameOf(id) };
      case KIND_ENUM:
      case KIND_ENUM64:
        return { kind: 'enum', name: this.#nameOf(id) };
      case KIND_FUNC_PROTO:
        return { kind: 'function' };
      default:
        throw new RangeError(`type ${id} is of kind ${kind}, which nothing can refer to`);
    }
  }

  #int(at: number): IsfType {
    const encoding = (this.#view.getUint32(at + TYPE_BYTES, true) >>> 24) & 0xf;
    const size = this.#view.getUint32(at + 8, true);
    const name = this.#text(this.#view.getUint32(at, true));
    // gcc's encoding knows no characters: their name tells
    const kind = encoding & BOOL ? 'bool' : encoding & CHAR || /^(un)?(signed )?char$/.test(name) ? 'char' : 'int';
    return { kind: 'base', name: this.#addBase(name, size, (encoding & SIGNED) !== 0, kind) };
  }

  #addBase(name: string, size: number, signed: boolean, kind: IsfBase['kind']): string {
    this.#base[name] ??= { size, signed, kind, endian: 'little' };
    return name;
  }

  #nameOf(id: number): string {
    return this.#text(this.#view.getUint32(this.#place(id), true)) || `unnamed_${id}`;
  }

  #place(id: number): number {
    const at = this.#at[id];
    if (at === undefined) throw new RangeError(`there is no type ${id}`);
    return at;
  }

  #info(at: number): number {
    return this.#view.getUint32(at + 4, true);
  }

  #kind(at: number): number {
    return (this.#info(at) >>> 24) & 0x1f;
  }

  #count(at: number): number {
    return this.#info(at) & 0xffff;
  }

  #text(offset: number): string {
    const end = this.#strings.indexOf(0, offset);
    if (offset >= this.#strings.length || end < 0) throw new RangeError(`there is no text at ${offset}`);
    return Buffer.from(this.#strings.buffer, this.#strings.byteOffset + offset, end - offset).toString('latin1');
  }
}
