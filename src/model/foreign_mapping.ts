/**
 * Foreign mappings of the model. A mapping of several frames must be one piece of memory, so the frames' contents move
 * into it while it lasts and out of it when it closes. JavaScript cannot show a page at two places, hence one limit: a
 * frame that is part of a mapping of several frames can be mapped once more alone, but not in another such mapping.
 */

import { errno } from '../abi/errno.js';
import type { ForeignMapping } from '../hypervisor/port.js';
import type { Domain } from './domain.js';

export function mapFrames(domain: Domain, gfns: readonly number[]): ForeignMapping {
  const { memory } = domain.host;
  const errors = new Int32Array(gfns.length);
  const mfns = gfns.map((gfn, i) => {
    const entry = domain.p2m.lookup(gfn);
    if (!entry.present) errors[i] = -errno.EINVAL;
    return entry.present ? entry.mfn : null;
  });
  const home = memory.pin(domain.domid, mfns);
  let open = true;
  const close = (): void => {
    if (open) home.release();
    open = false;
  };
  return {
    get bytes(): Uint8Array {
      if (!open) throw new TypeError('this mapping is closed');
      return home.bytes;
    },
    errors,
    close,
    [Symbol.dispose]: close,
  };
}
