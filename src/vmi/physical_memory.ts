/** Guest memory by guest-physical address. */

import { addressIn } from './address.js';
import { MemoryFault } from './fault.js';
import { Memory } from './memory.js';
import type { Searched } from './search.js';

/** Guest memory by guest-physical address. */
export class PhysicalMemory extends Memory {
  readonly pointerBytes = 8;

  /** @internal */
  get searched(): Searched {
    const { source } = this;
    const pieces: Searched['pieces'] = (first, end) =>
      first < end ? [{ page: first, frame: first, pages: end - first }] : [];
    return { source, endPage: source.frames, pieces };
  }

  protected frameOf(page: number): number {
    return page;
  }

  protected fault(page: number, offset: number): MemoryFault {
    return new MemoryFault(addressIn(page, offset), 'no-memory');
  }
}
