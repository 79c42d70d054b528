/**
 * What a kernel's structures look like and where its symbols are: an "intermediate symbol file" (ISF) of Volatility 3,
 * JSON that `dwarf2json` (Linux) and `pdbconv` (Windows) make. This reads its schema 4 to 6.
 */

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { IsfFile, IsfStruct, IsfType } from './isf.js';
import type { FieldSpec, Layout } from './layout.js';

/** The file is no ISF, or does not have what is asked for. */
export class ProfileError extends Error {
  override readonly name = 'ProfileError';
  readonly code = 'ERR_XENCTRL_PROFILE';
}

/** The most that a compressed file may become. */
const MOST_BYTES = 2 ** 30;
/** Structures without a name within each other. */
const DEEPEST = 32;
const PARTS = ['metadata', 'base_types', 'user_types', 'symbols'] as const;

/** A kernel's types and symbols. */
export class Profile {
  readonly #file: IsfFile;
  readonly #types = new Map<string, StructType>();
  #sorted: readonly (readonly [address: bigint, name: string])[] | null = null;

  private constructor(file: IsfFile) {
    this.#file = file;
  }

  /**
   * Reads a file, `.json` or `.json.gz`. Those of distributions are tens of megabytes: this takes about a second.
   *
   * @throws ProfileError it is no ISF
   */
  static open(path: string): Profile {
    const raw = readFileSync(path);
    if (raw[0] === 0xfd && raw[1] === 0x37) {
      throw new ProfileError(`${path} is compressed by xz, which Node cannot read: unxz it first`);
    }
    const gzipped = raw[0] === 0x1f && raw[1] === 0x8b;
    return Profile.parse((gzipped ? gunzipSync(raw, { maxOutputLength: MOST_BYTES }) : raw).toString('utf8'));
  }

  /** @throws ProfileError it is no ISF */
  static parse(json: string): Profile {
    let file: unknown;
    try {
      file = JSON.parse(bigAddresses(json));
    } catch {
      throw new ProfileError('the profile is no JSON');
    }
    const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
    const parts = file as Record<string, unknown>;
    if (!isObject(file) || !PARTS.every((part) => isObject(parts[part]))) {
      throw new ProfileError(`the profile is no ISF: it needs ${PARTS.join(', ')}`);
    }
    return new Profile(file as IsfFile);
  }

  /** Whether the kernel has a symbol of this name. */
  hasSymbol(name: string): boolean {
    return Object.hasOwn(this.#file.symbols, name);
  }

  /**
   * A symbol's address as the kernel was linked: where it is in a guest, KASLR has moved it (Linux), or it counts from the
   * kernel's first byte (Windows).
   *
   * @throws ProfileError there is none
   */
  symbol(name: string): bigint {
    if (!this.hasSymbol(name)) throw new ProfileError(`the profile has no symbol '${name}'`);
    const { address } = this.#file.symbols[name] as { readonly address: unknown };
    if (typeof address === 'number' && Number.isSafeInteger(address)) return BigInt.asUintN(64, BigInt(address));
    if (typeof address === 'string' && /^-?\d+$/.test(address)) return BigInt.asUintN(64, BigInt(address));
    throw new ProfileError(`the address of symbol '${name}' is no number`);
  }

  /** What a constant holds, if the file has that: the text of `linux_banner`. Null: it does not. */
  constant(name: string): Uint8Array | null {
    const data = this.hasSymbol(name) ? this.#file.symbols[name]?.constant_data : undefined;
    return typeof data === 'string' ? new Uint8Array(Buffer.from(data, 'base64')) : null;
  }

  /** The last symbol that does not come after an address, as the kernel was linked; null: there is none. */
  symbolBefore(address: bigint): { readonly name: string; readonly offset: bigint } | null {
    this.#sorted ??= Object.keys(this.#file.symbols)
      .map((name) => [this.symbol(name), name] as const)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle] as readonly [bigint, string])[0] <= address) low = middle + 1;
      else high = middle;
    }
    const found = this.#sorted[low - 1];
    return found ? { name: found[1], offset: address - found[0] } : null;
  }

  hasType(name: string): boolean {
    return Object.hasOwn(this.#file.user_types, name);
  }

  /**
   * A structure or union.
   *
   * @throws ProfileError there is none
   */
  type(name: string): StructType {
    const known = this.#types.get(name);
    if (known) return known;
    const struct = this.hasType(name) ? this.#file.user_types[name] : undefined;
    if (typeof struct?.fields !== 'object' || typeof struct.size !== 'number') {
      throw new ProfileError(`the profile has no structure '${name}'`);
    }
    const type = new StructType(this, name, struct);
    this.#types.set(name, type);
    return type;
  }

  /** The value of an enumeration's constant. @throws ProfileError there is none */
  enumValue(name: string, constant: string): number {
    const value = this.#file.enums?.[name]?.constants[constant];
    if (typeof value !== 'number')
      throw new ProfileError(`the profile has no constant '${constant}' of enum '${name}'`);
    return value;
  }

  /** How to read a field of this type at an offset. @internal */
  specOf(type: IsfType, offset: number, path: string): FieldSpec {
    switch (type.kind) {
      case 'pointer':
      case 'function':
        return [offset, 'pointer'];
      case 'base':
        return [offset, this.#integer(type.name ?? '', path)];
      case 'enum': {
        const size = this.#file.enums?.[type.name ?? '']?.size ?? 4;
        return size === 8 ? [offset, 'u64'] : [offset, size === 1 ? 'u8' : size === 2 ? 'u16' : 'u32'];
      }
      case 'array':
        return this.#isText(type) ? [offset, 'string', type.count ?? 0] : [offset, 'bytes', this.#sizeOf(type)];
      case 'struct':
      case 'union':
      case 'class':
        return [offset, 'bytes', this.#sizeOf(type)];
      default:
        throw new ProfileError(`${path} is a ${type.kind}, which is not read as a field`);
    }
  }

  #integer(name: string, path: string): 'u8' | 'u16' | 'u32' | 'i8' | 'i16' | 'i32' | 'u64' | 'i64' {
    const base = this.#file.base_types[name];
    const kind = base && `${base.signed ? 'i' : 'u'}${base.size * 8}`;
    switch (kind) {
      case 'u8':
      case 'u16':
      case 'u32':
      case 'u64':
      case 'i8':
      case 'i16':
      case 'i32':
      case 'i64':
        return kind;
      default:
        throw new ProfileError(`${path} is of type '${name}', which is no integer that is known`);
    }
  }

  #isText({ subtype }: IsfType): boolean {
    return subtype?.kind === 'base' && this.#file.base_types[subtype.name ?? '']?.kind === 'char';
  }

  #sizeOf(type: IsfType): number {
    switch (type.kind) {
      case 'pointer':
        return this.#file.base_types['pointer']?.size ?? 8;
      case 'base':
        return this.#file.base_types[type.name ?? '']?.size ?? 0;
      case 'enum':
        return this.#file.enums?.[type.name ?? '']?.size ?? 4;
      case 'array':
        return (type.count ?? 0) * (type.subtype ? this.#sizeOf(type.subtype) : 0);
      default:
        return this.type(type.name ?? '').size;
    }
  }
}

/** A structure of the guest's kernel. */
export class StructType {
  readonly name: string;
  /** `sizeof`. */
  readonly size: number;
  readonly #profile: Profile;
  readonly #struct: IsfStruct;

  /** @internal */
  constructor(profile: Profile, name: string, struct: IsfStruct) {
    this.#profile = profile;
    this.name = name;
    this.size = struct.size;
    this.#struct = struct;
  }

  /** Whether there is such a field: see {@link offset}. */
  has(path: string): boolean {
    return this.#find(path) !== null;
  }

  /**
   * Byte offset of a field; of one in a structure within it by `'tasks.next'`. Fields of structures that have no name are
   * the structure's own, as in C.
   *
   * @throws ProfileError there is none
   */
  offset(path: string): number {
    return this.#demand(path).offset;
  }

  /** How to read a field. @throws ProfileError there is none, or it cannot be read as one value */
  field(path: string): FieldSpec {
    const { offset, type } = this.#demand(path);
    return this.#profile.specOf(type, offset, `${this.name}.${path}`);
  }

  /** What {@link Memory.struct} takes, to read these fields. */
  layout(paths: readonly string[]): Layout {
    return Object.fromEntries(paths.map((path) => [path, this.field(path)]));
  }

  #demand(path: string): { readonly offset: number; readonly type: IsfType } {
    const found = this.#find(path);
    if (!found) throw new ProfileError(`the profile's structure '${this.name}' has no field '${path}'`);
    return found;
  }

  #find(path: string): { readonly offset: number; readonly type: IsfType } | null {
    const [first = '', ...rest] = path.split('.');
    const found = this.#own(first);
    if (!found || rest.length === 0) return found;
    const inner = this.#within(found.type);
    const within = inner ? inner.#find(rest.join('.')) : null;
    return within ? { offset: found.offset + within.offset, type: within.type } : null;
  }

  #own(name: string, depth = 0): { readonly offset: number; readonly type: IsfType } | null {
    if (depth > DEEPEST) throw new ProfileError(`the profile's structure '${this.name}' is within itself`);
    const { fields } = this.#struct;
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (field) return field;
    for (const one of Object.values(fields)) {
      if (one.anonymous !== true) continue;
      const inner = this.#within(one.type);
      const within = inner ? inner.#own(name, depth + 1) : null;
      if (within) return { offset: one.offset + within.offset, type: within.type };
    }
    return null;
  }

  #within({ kind, name = '' }: IsfType): StructType | null {
    const compound = kind === 'struct' || kind === 'union' || kind === 'class';
    return compound && this.#profile.hasType(name) ? this.#profile.type(name) : null;
  }
}

/** Addresses have 64 bits, of which JSON.parse would keep 53: those that need more become text. */
function bigAddresses(json: string): string {
  return json.replace(/("address"\s*:\s*)(-?\d{16,20})(?=\s*[,}])/g, '$1"$2"');
}
