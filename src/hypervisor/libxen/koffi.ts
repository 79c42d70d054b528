/** The seam on koffi. */

import type { CFunction, CType, Ffi } from './ffi.js';

/** What we use of koffi. */
interface Koffi {
  load(library: string | null): { func(name: string, result: string, args: readonly string[]): CFunction };
  view(address: bigint, size: number): ArrayBuffer;
}

const TYPES: Readonly<Record<CType, string>> = {
  int: 'int',
  u16: 'uint16_t',
  u32: 'uint32_t',
  u64: 'uint64_t',
  long: 'long',
  address: 'uintptr_t',
  array: 'void *',
};

export function koffiFfi(koffi: Koffi): Ffi {
  return {
    name: 'koffi',
    load(name) {
      const library = koffi.load(name);
      return {
        declare: (symbol, result, args) =>
          library.func(
            symbol,
            TYPES[result],
            args.map((type) => TYPES[type]),
          ),
      };
    },
    view: (address, size) => new Uint8Array(koffi.view(BigInt(address), size)),
    showsAgain: true,
  };
}
