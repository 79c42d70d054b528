/**
 * Page tables walked a second time, for comparing: one mode after the other as the manual's figures have them (Intel SDM
 * volume 3, chapter "Paging"), on bigints, bit by bit. Slow, and shares nothing with the walker that it checks.
 */

import type { Paging } from '#dist/vmi/paging.js';
import type { TestMemory } from './test_memory.js';

/** What is compared. */
export type Reference =
  | { ok: true; address: bigint; size: bigint; w: boolean; u: boolean; x: boolean; a: boolean; d: boolean }
  | { ok: false; why: string; level: number };

function bit(value: bigint, n: number): boolean {
  return ((value >> BigInt(n)) & 1n) === 1n;
}

function bits(value: bigint, from: number, to: number): bigint {
  return (value >> BigInt(from)) & ((1n << BigInt(to - from + 1)) - 1n);
}

function load(memory: TestMemory, address: bigint, bytes: 4 | 8): bigint | null {
  const page = memory.writablePage(Number(address / 4096n));
  if (!page) return null;
  const at = Number(address % 4096n);
  return bytes === 8 ? page.view.getBigUint64(at, true) : BigInt(page.view.getUint32(at, true));
}

/** The manual's tables of reserved bits, as ranges. */
function reserved(mode: string, level: number, leaf: boolean, nx: boolean, width: number): [number, number][] {
  const out: [number, number][] = [];
  if (mode === '32-bit') return level === 2 && leaf ? [[Math.min(width, 40) - 32 + 13, 21]] : [];
  if (width < 52) out.push([width, 51]);
  if (mode === 'pae') out.push([52, 62]);
  if (mode === 'pae' && level === 3) out.push([1, 2], [5, 8], [63, 63]);
  if (!nx) out.push([63, 63]);
  if (level >= 4) out.push([7, 7]);
  if (leaf && level === 3) out.push([13, 29]);
  if (leaf && level === 2) out.push([13, 20]);
  return out;
}

/** @param address 64 bits as the processor has them */
export function referenceWalk(memory: TestMemory, paging: Paging, cr3: bigint, address: bigint): Reference {
  const { mode, pse = true, nx = true, physicalBits = 52 } = paging;
  const wide = mode !== '32-bit';
  if (mode === '32-bit' || mode === 'pae') {
    if (address >= 1n << 32n) return { ok: false, why: 'not-canonical', level: 0 };
  } else {
    const top = mode === '4-level' ? 47 : 56;
    const upper = bits(address, top, 63);
    if (upper !== 0n && upper !== (1n << BigInt(64 - top)) - 1n) return { ok: false, why: 'not-canonical', level: 0 };
  }
  let table = mode === '4-level' || mode === '5-level' ? bits(cr3, 12, 51) << 12n : bits(cr3, 12, 31) << 12n;
  if (mode === 'pae') table = bits(cr3, 5, 31) << 5n;
  const right = { w: true, u: true, x: true };
  const top = { '32-bit': 2, pae: 3, '4-level': 4, '5-level': 5, none: 0 }[mode];
  for (let level = top; level >= 1; level--) {
    const index = wide
      ? bits(address, 12 + 9 * (level - 1), 12 + 9 * (level - 1) + 8)
      : bits(address, 12 + 10 * (level - 1), 12 + 10 * (level - 1) + 9);
    const value = load(memory, table + index * (wide ? 8n : 4n), wide ? 8 : 4);
    if (value === null) return { ok: false, why: 'no-table', level };
    if (!bit(value, 0)) return { ok: false, why: 'not-present', level };
    const canBeLarge = wide ? level === 2 || (level === 3 && mode !== 'pae') : level === 2 && pse;
    const leaf = level === 1 || (canBeLarge && bit(value, 7));
    for (const [from, to] of reserved(mode, level, leaf, nx, physicalBits)) {
      if (from <= to && bits(value, from, to) !== 0n) return { ok: false, why: 'reserved-bits', level };
    }
    if (!(mode === 'pae' && level === 3)) {
      right.w = right.w && bit(value, 1);
      right.u = right.u && bit(value, 2);
      if (wide) right.x = right.x && !bit(value, 63);
    }
    if (leaf) {
      const shift = 12 + (wide ? 9 : 10) * (level - 1);
      let base = bits(value, shift, wide ? 51 : 31) << BigInt(shift);
      if (!wide && level === 2) base |= bits(value, 13, 20) << 32n;
      const size = 1n << BigInt(shift);
      return { ok: true, address: base + (address % size), size, ...right, a: bit(value, 5), d: bit(value, 6) };
    }
    table = bits(value, 12, wide ? 51 : 31) << 12n;
  }
  throw new Error('unreachable');
}
