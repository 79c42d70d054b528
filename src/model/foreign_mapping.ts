/**
 * Foreign mappings of the model. A mapping of several frames must be one piece of memory, so the frames' contents move
 * into it while it lasts and out of it when it closes. JavaScript cannot show a page at two places, hence one limit: a
 * frame that is part of a mapping of several frames can be mapped once more alone, but not in another such mapping.
 */

import { errno } from '../abi/errno.js';
import { DOMID_IO, DOMID_SELF, DOMID_XEN, PAGE_SIZE } from '../abi/xen.js';
import { XenError } from '../hypervisor/error.js';
import type { ForeignMapping } from '../hypervisor/port.js';
import type { Domain } from './domain.js';
import type { MachineMemory } from './machine_memory.js';
import type { Pci } from './pci/pci.js';

/** What {@link mapForeign} needs of the machine. */
interface Machine {
  readonly domains: ReadonlyMap<number, Domain>;
  readonly dom0: Domain;
  readonly memory: MachineMemory;
  readonly pci: Pci;
}

/** A frame of memory; null: an address at which nobody answers; a negative errno. */
type Found = { readonly mfn: number | null } | { readonly error: number };

/** Frames below are the first MiB's, which is no memory to Xen. */
const FIRST_MIB = 0x100;

/** Maps frames for dom0. @throws XenError ESRCH: no domain whose frames could be mapped */
export function mapForeign(machine: Machine, domid: number, gfns: readonly number[]): ForeignMapping {
  const { memory } = machine;
  const find = finder(machine, domid);
  if (!find) throw new XenError('mapForeign', -errno.ESRCH, { domid });
  const errors = new Int32Array(gfns.length);
  const copied: (readonly [index: number, mfn: number])[] = [];
  const mfns = gfns.map((gfn, i) => {
    const found = find(gfn);
    if ('error' in found) {
      errors[i] = found.error;
      return null;
    }
    if (found.mfn === null || !machine.pci.isReadOnly(found.mfn)) return found.mfn;
    copied.push([i, found.mfn]);
    return null;
  });
  const mapping = shown(memory, domid, mfns, errors);
  // a store to the real page is a page fault for ever; here it goes to a copy, and no further
  for (const [i, mfn] of copied) mapping.bytes.set(memory.peek(mfn), i * PAGE_SIZE);
  return mapping;
}

/** Machine frames as a mapping, side by side until it closes. */
export function shown(
  memory: MachineMemory,
  domid: number,
  mfns: readonly (number | null)[],
  errors: Int32Array,
): ForeignMapping {
  const home = memory.pin(domid, mfns);
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

/** How a frame of a domain is found, or null when the domain is none that can be named. */
function finder({ domains, dom0, memory }: Machine, domid: number): ((gfn: number) => Found) | null {
  const nobodys = (mfn: number): boolean => mfn < FIRST_MIB || mfn >= memory.totalPages;
  const machineFrame = (owner: Domain | null, ofDevice: Found) => (mfn: number) => {
    if (memory.isDevice(mfn)) return 'mfn' in ofDevice ? { mfn } : ofDevice;
    if (nobodys(mfn)) return ofDevice;
    const entry = owner?.p2m.lookup(mfn);
    return entry?.present ? { mfn: entry.mfn } : { error: -errno.EBUSY };
  };
  switch (domid) {
    case DOMID_SELF:
      return machineFrame(dom0, { mfn: null });
    case DOMID_IO:
      return machineFrame(null, { mfn: null });
    case DOMID_XEN:
      return machineFrame(null, { error: -errno.EPERM });
    case dom0.domid:
      return null; // Xen does not take the caller for a foreign domain
  }
  const domain = domains.get(domid);
  if (!domain) return null;
  // a PV domain's frames are the machine's
  if (!domain.isHvm) return machineFrame(domain, { error: -errno.EPERM });
  return (gfn) => {
    const entry = domain.find(gfn);
    return entry.present && !memory.isDevice(entry.mfn) ? { mfn: entry.mfn } : { error: -errno.EINVAL };
  };
}
