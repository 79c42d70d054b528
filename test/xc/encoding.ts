/** What the encode tests write down by hand: structures, byte by byte. */

import type { Release } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { type Answer, type Call, FakeXen, hex } from './fake.js';

export type Place = readonly [offset: number, width: 1 | 2 | 4 | 8, value: number | bigint];

/** A structure of `size` bytes with little-endian values at their places. */
export function pack(size: number, ...places: readonly Place[]): string {
  const view = new DataView(new ArrayBuffer(size));
  for (const [offset, width, value] of places) {
    const raw = BigInt.asUintN(width * 8, BigInt(value));
    for (let i = 0; i < width; i++) view.setUint8(offset + i, Number((raw >> BigInt(8 * i)) & 0xffn));
  }
  return hex(new Uint8Array(view.buffer));
}

export const DOMCTL = 36;
export const SYSCTL = 35;
export const VERSIONS: Readonly<Record<Release, readonly [domctl: number, sysctl: number]>> = {
  '4.14': [0x12, 0x13],
  '4.15': [0x13, 0x13],
  '4.16': [0x14, 0x14],
  '4.17': [0x15, 0x15],
  '4.18': [0x16, 0x15],
  '4.19': [0x17, 0x15],
  '4.20': [0x17, 0x15],
  '4.21': [0x17, 0x16],
  '4.22': [0x18, 0x16],
};

/** A domctl's 144 bytes; `places` are offsets in the union. */
export const domctl = (release: Release, cmd: number, domid: number, ...places: readonly Place[]): string => {
  const inUnion = places.map(([offset, width, value]): Place => [16 + offset, width, value]);
  return pack(144, [0, 4, cmd], [4, 4, VERSIONS[release][0]], [8, 2, domid], ...inUnion);
};

export function opened(version: string, answer?: Answer): { xen: FakeXen; xch: xc.XcInterface } {
  const xen = new FakeXen({ version });
  if (answer) xen.answer = answer;
  return { xen, xch: xc.xc_interface_open({ hypervisor: xen }) };
}

/** The structure that the last argument of a call points to. */
export const operand = (call: Call, size: number): string => hex(call.at(call.args.at(-1) as number, size));
