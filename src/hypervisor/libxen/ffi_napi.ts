/** The seam on ffi-napi: unmaintained and slow, but some have it already. */

import type { CFunction, CType, Ffi } from './ffi.js';

/** What we use of ffi-napi and ref-napi. */
interface FfiNapi {
  Library(
    library: string | null,
    functions: Record<string, readonly [string, readonly string[]]>,
  ): Record<string, (...args: unknown[]) => number | string>;
}
interface RefNapi {
  alloc(type: string, value: number): Buffer;
  readPointer(buffer: Buffer, offset: number, length: number): Buffer;
}

const TYPES: Readonly<Record<CType, string>> = {
  int: 'int',
  u16: 'uint16',
  u32: 'uint32',
  u64: 'uint64',
  long: 'int64',
  address: 'size_t',
  array: 'pointer',
};

export function ffiNapiFfi(ffi: FfiNapi, ref: RefNapi): Ffi {
  return {
    name: 'ffi-napi',
    load(name) {
      ffi.Library(name, {}); // fails here, and not at the first function
      return {
        declare(symbol, result, args): CFunction {
          const types = args.map((type) => TYPES[type]);
          const call = ffi.Library(name, { [symbol]: [TYPES[result], types] })[symbol];
          if (!call) throw new Error(`${name ?? 'this process'} has no ${symbol}`);
          return (...values) => asNumber(call(...values.map(asBuffer)));
        },
      };
    },
    view(address, size) {
      const bytes = ref.readPointer(ref.alloc('size_t', address), 0, size);
      return new Uint8Array(bytes.buffer, bytes.byteOffset, size);
    },
    // ref-napi keeps the buffer that it made for an address and gives it again, detached or not
    showsAgain: false,
  };
}

function asBuffer(value: number | NodeJS.TypedArray): number | Buffer {
  return typeof value === 'number' ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

/** ref-napi gives 64-bit values that a number cannot hold as decimal strings. */
function asNumber(value: number | string): number | bigint {
  return typeof value === 'string' ? BigInt(value) : value;
}
