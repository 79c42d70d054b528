/** Guest memory that is not there. */

import { hexAddress, toBigint } from './address.js';
import type { NotMappedReason } from './paging.js';

/** Why memory cannot be reached. `'no-memory'`: the guest has no memory at that physical address. */
export type FaultReason = NotMappedReason | 'no-memory';

/** An address of the guest that cannot be read or written: not mapped (paged out, say), or no memory behind it. */
export class MemoryFault extends Error {
  override readonly name = 'MemoryFault';
  readonly code = 'ERR_XENCTRL_MEMORY_FAULT';
  /** The first byte that cannot be reached. */
  readonly address: bigint;
  readonly reason: FaultReason;
  /** The level of the page table entry that ended the walk, 0: none. */
  readonly level: number;

  constructor(address: bigint, reason: FaultReason, level = 0) {
    super(`${hexAddress(address)}: ${describe(reason, level)}`);
    this.address = toBigint(address);
    this.reason = reason;
    this.level = level;
  }
}

function describe(reason: FaultReason, level: number): string {
  switch (reason) {
    case 'not-canonical':
      return 'no address in this paging mode';
    case 'not-present':
      return `not mapped: the page table entry of level ${level} is not present`;
    case 'reserved-bits':
      return `not mapped: the page table entry of level ${level} has reserved bits set`;
    case 'no-table':
      return `not mapped: the page table of level ${level} lies where the guest has no memory`;
    case 'no-memory':
      return 'the guest has no memory there';
  }
}
