/** Machines with devices, and guests that have them, for the tests of MSI-X protection. */

import assert from 'node:assert/strict';
import { parseSbdf } from '#dist/abi/pci/sbdf.js';
import * as xc from '#dist/index.js';
import { type Guest, ModelXen, type MsixAsPosted, type PciDeviceOptions } from '#dist/model/index.js';
import type { GuestOptions, ModelOptions } from '#dist/model/options.js';
import type { PvMapping } from '#dist/model/pci/pv_mappings.js';

export const sbdfOf = (text: string): number => {
  const sbdf = parseSbdf(text);
  assert.ok(sbdf !== undefined, text);
  return sbdf;
};

/** Where guests have the BAR. */
export const GUEST_FRAME = 0xf_2000;

/** A network card with one BAR of four pages: table on the first, PBA on the third; five vectors. */
export const CARD: PciDeviceOptions = {
  sbdf: '0000:00:10.0',
  bars: [{ index: 0, address: 0xfea0_0000, size: 0x4000 }],
  msix: { vectors: 5, table: { bir: 0, offset: 0 }, pba: { bir: 0, offset: 0x2000 } },
};
export const BAR = 0xfea00;
export const DEVICE = sbdfOf(CARD.sbdf);

export interface Machine {
  readonly xen: ModelXen;
  readonly xch: xc.XcInterface;
}

export function machine(
  devices: readonly PciDeviceOptions[] = [CARD],
  asPosted: readonly MsixAsPosted[] = [],
  options: ModelOptions = {},
): Machine {
  const xen = new ModelXen({ ...options, pci: { devices, asPosted } });
  return { xen, xch: xc.xc_interface_open({ hypervisor: xen }) };
}

/** What a call threw, by its errno's name; `'ok'`: nothing. */
export function outcome(act: () => unknown): string {
  try {
    act();
    return 'ok';
  } catch (error) {
    if (error instanceof xc.XenError) return error.code;
    throw error;
  }
}

/** A guest that may use a BAR; an HVM one has it mapped. */
export function guestWith({ xen, xch }: Machine, options: GuestOptions = {}, frame = BAR, count = 4): Guest {
  const guest = xen.createGuest({ memoryPages: 512, iommu: true, ...options });
  xc.xc_domain_iomem_permission(xch, guest.domid, frame, count, true);
  xc.xc_domain_memory_mapping(xch, guest.domid, GUEST_FRAME, frame, count, true);
  return guest;
}

/** Maps the first vector of a device for a domain: what the first patch took as the beginning of its use. */
export function firstVector({ xch }: Machine, domid: number, device = DEVICE, base = BAR * 4096): number {
  return xc.xc_physdev_map_pirq_msi(
    xch,
    domid,
    -1,
    -1,
    device & 0xff,
    ((device >>> 16) << 16) | ((device >> 8) & 0xff),
    0,
    base,
  );
}

/** The protected frames, from the lowest on. */
export function protectedFrames({ xen }: Machine): number[] {
  return [...xen.pci.readOnly.ranges()].flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i),
  );
}

let stored = 1;

/** Whether a store of the guest's reaches a page of its BAR. */
export function canWrite({ xen }: Machine, guest: Guest, page: number): boolean {
  const value = Uint8Array.of(stored++ & 0xff, 0x5a, 0xa5, 0x77);
  const address = (GUEST_FRAME + page) * 4096 + 0x800;
  guest.vcpus[0].write(address, value);
  const { present, mfn } = guest.domain.p2m.lookup(GUEST_FRAME + page);
  return present && Buffer.compare(xen.memory.peek(mfn).subarray(0x800, 0x804), value) === 0;
}

/** A page of a device in a PV domain's page tables. */
export function pvMap(domain: Guest['domain'], mfn: number): PvMapping {
  const entry = domain.io.pv.map(mfn, { write: true });
  assert.ok(typeof entry !== 'number', `${entry}`);
  return entry;
}
