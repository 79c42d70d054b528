/** The seam to a foreign function interface, and the choice of one: koffi, or ffi-napi where a user has that. */

import { createRequire } from 'node:module';
import { ffiNapiFfi } from './ffi_napi.js';
import { koffiFfi } from './koffi.js';

/**
 * The C types that Xen's libraries need. `address`: any pointer, as a number; `array`: a pointer to a typed array's
 * memory, which C may write to while the call lasts.
 */
export type CType = 'int' | 'u16' | 'u32' | 'u64' | 'long' | 'address' | 'array';

/** A C function. Results of 64 bits that a number cannot hold are bigints. */
export type CFunction = (...args: (number | NodeJS.TypedArray)[]) => number | bigint;

export interface FfiLibrary {
  /** @throws Error when the library has no such function */
  declare(name: string, result: CType, args: readonly CType[]): CFunction;
}

export interface Ffi {
  readonly name: 'koffi' | 'ffi-napi';
  /**
   * @param library null: what the process has loaded by itself, libc among it
   * @throws Error when the library is not there
   */
  load(library: string | null): FfiLibrary;
  /** Memory at an address, not a copy of it. Its `buffer` may reach further than `size`. */
  view(address: number, size: number): Uint8Array;
  /** Whether memory can be shown at an address again at which memory was shown, detached and unmapped before. */
  readonly showsAgain: boolean;
}

const require = createRequire(import.meta.url);

/**
 * Loads the interface that `XENCTRL_FFI` names, else koffi, else ffi-napi.
 *
 * @throws Error with what to install
 */
export function loadFfi(wanted: string | undefined = process.env['XENCTRL_FFI']): Ffi {
  const named = wanted === undefined || wanted === '' ? null : wanted;
  if (named !== null && named !== 'koffi' && named !== 'ffi-napi') {
    throw new Error(`XENCTRL_FFI=${named}: use koffi or ffi-napi`);
  }
  const reasons: string[] = [];
  for (const name of named === null ? (['koffi', 'ffi-napi'] as const) : [named]) {
    try {
      return name === 'koffi' ? koffiFfi(require('koffi')) : ffiNapiFfi(require('ffi-napi'), require('ref-napi'));
    } catch (error) {
      reasons.push(`${name}: ${firstLine(error)}`);
    }
  }
  throw new Error(`no foreign function interface (${reasons.join('; ')}); npm install ${named ?? 'koffi'}`);
}

export function firstLine(error: unknown): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  return line;
}
