/**
 * Reads the JSON of a recording, one object at a time. Each member is asked for by name and checked; {@link Fields.end}
 * refuses what nobody asked for, so that nothing that a recording says can go unheeded.
 */

import { u64FromJson } from '../trace/u64.js';
import { RecordingError } from './error.js';

const U16_MAX = 0xffff;
const U32_MAX = 0xffff_ffff;

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

function wrong(at: string, value: unknown, wanted: string): never {
  if (value === undefined) throw new RecordingError(`${at} is missing: it must be ${wanted}`);
  throw new RecordingError(`${at} must be ${wanted}, not ${shown(value)}`);
}

export class Fields {
  /** Where the object is in the file: `steps[3].args`. */
  readonly at: string;
  readonly #members: Readonly<Record<string, unknown>>;
  readonly #asked: string[] = [];

  constructor(value: unknown, at: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      wrong(at || 'the recording', value, 'an object');
    }
    this.at = at;
    this.#members = value as Readonly<Record<string, unknown>>;
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#members, key);
  }

  keys(): string[] {
    return Object.keys(this.#members);
  }

  /** Place of a member. */
  place(key: string): string {
    return this.at === '' ? key : `${this.at}.${key}`;
  }

  raw(key: string): unknown {
    this.#asked.push(key);
    return this.has(key) ? this.#members[key] : undefined;
  }

  /** Takes a member that says nothing to the replay. */
  ignore(...keys: readonly string[]): void {
    this.#asked.push(...keys);
  }

  /** Throws when there is a member that was not asked for. */
  end(): void {
    const unknown = this.keys().find((key) => !this.#asked.includes(key));
    if (unknown !== undefined) throw new RecordingError(`${this.place(unknown)} is unknown`);
  }

  object(key: string): Fields {
    return new Fields(this.raw(key), this.place(key));
  }

  list(key: string, most = Number.MAX_SAFE_INTEGER): readonly unknown[] {
    const value = this.raw(key);
    if (!Array.isArray(value)) return wrong(this.place(key), value, 'a list');
    if (value.length > most) return wrong(this.place(key), value, `a list of at most ${most} entries`);
    return Array.from(value); // a list with holes has none now
  }

  string(key: string): string {
    const value = this.raw(key);
    return typeof value === 'string' ? value : wrong(this.place(key), value, 'a string');
  }

  oneOf<T extends string | number>(key: string, choices: readonly T[]): T {
    const value = this.raw(key);
    const found = choices.find((choice) => choice === value);
    return found ?? wrong(this.place(key), value, choices.map((choice) => JSON.stringify(choice)).join(' or '));
  }

  boolean(key: string): boolean {
    const value = this.raw(key);
    return typeof value === 'boolean' ? value : wrong(this.place(key), value, 'true or false');
  }

  integer(key: string, least: number, most: number): number {
    return integerValue(this.raw(key), this.place(key), least, most);
  }

  u8(key: string): number {
    return this.integer(key, 0, 0xff);
  }

  u16(key: string): number {
    return this.integer(key, 0, U16_MAX);
  }

  u32(key: string): number {
    return this.integer(key, 0, U32_MAX);
  }

  /** A flag, which recordings write as 0 and 1. */
  flag(key: string): boolean {
    const value = this.raw(key);
    if (value === 0 || value === false) return false;
    return value === 1 || value === true || wrong(this.place(key), value, '0 or 1');
  }

  /** An unsigned 64-bit number: see {@link u64Value}. */
  u64(key: string): number | bigint {
    return u64Value(this.raw(key), this.place(key));
  }

  /** Bytes in hexadecimal: `length` of them exactly, or at most `most`. */
  bytes(key: string, size: { readonly length: number } | { readonly most: number }): Uint8Array {
    return bytesValue(this.raw(key), this.place(key), size);
  }
}

export function integerValue(value: unknown, at: string, least: number, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
  return wrong(at, value, `an integer from ${least} to ${most}`);
}

/** An unsigned 64-bit number: see {@link u64FromJson}. */
export function u64Value(value: unknown, at: string): number | bigint {
  return u64FromJson(value) ?? wrong(at, value, 'an unsigned 64-bit integer');
}

export function bytesValue(
  value: unknown,
  at: string,
  size: { readonly length: number } | { readonly most: number },
): Uint8Array {
  const wanted = 'length' in size ? `${size.length} bytes` : `at most ${size.most} bytes`;
  if (typeof value !== 'string' || value.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(value)) {
    return wrong(at, value, `${wanted} in hexadecimal`);
  }
  const bytes = new Uint8Array(Buffer.from(value, 'hex'));
  const fits = 'length' in size ? bytes.length === size.length : bytes.length <= size.most;
  return fits ? bytes : wrong(at, value, `${wanted} in hexadecimal`);
}
