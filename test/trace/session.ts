/** Calls on a software Xen with the environment that tracing and recording look at. */

import type { ReleaseAbi } from '#dist/abi/release.js';
import type { XcInterface } from '#dist/xc/interface.js';

/** Runs `body` with variables of the environment set, or unset where the value is undefined. */
export function withEnvironment<T>(variables: Readonly<Record<string, string | undefined>>, body: () => T): T {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  const set = ([name, value]: readonly [string, string | undefined]): void => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  Object.entries(variables).forEach(set);
  try {
    return body();
  } finally {
    before.forEach(set);
  }
}

/** XENMEM_access_op, which no call of this package makes yet; lists beside the structure where frames are given. */
export function accessOp(
  xch: XcInterface,
  op: number,
  domid: number,
  { gfn = 0n, access = 0, nr = 1, gfns = [] as readonly bigint[], codes = [] as readonly number[] } = {},
): number {
  const { hypervisor } = xch;
  const { view } = hypervisor.arena;
  using operand = hypervisor.arena.alloc(32);
  using lists = hypervisor.arena.alloc(64);
  const { offset } = operand;
  view.setUint8(offset, op);
  view.setUint8(offset + 1, access);
  view.setUint16(offset + 2, domid, true);
  view.setUint32(offset + 4, nr, true);
  view.setBigUint64(offset + 8, gfn, true);
  if (gfns.length > 0) {
    view.setBigUint64(offset + 16, BigInt(lists.address), true);
    view.setBigUint64(offset + 24, BigInt(lists.address + 48), true);
    gfns.forEach((frame, i) => {
      view.setBigUint64(lists.offset + i * 8, frame, true);
    });
    lists.bytes.set(codes, 48);
  }
  return hypervisor.hypercall(12, 21, operand.address);
}

/** A domctl whose union holds these 32-bit words. */
export function rawDomctl(
  xch: XcInterface,
  abi: ReleaseAbi,
  cmd: number,
  domid: number,
  words: readonly number[],
): number {
  const { hypervisor } = xch;
  const { view } = hypervisor.arena;
  using operand = hypervisor.arena.alloc(144);
  view.setUint32(operand.offset, cmd, true);
  view.setUint32(operand.offset + 4, abi.domctl, true);
  view.setUint16(operand.offset + 8, domid, true);
  words.forEach((word, i) => {
    view.setUint32(operand.offset + 16 + i * 4, word, true);
  });
  return hypervisor.hypercall(36, operand.address);
}
