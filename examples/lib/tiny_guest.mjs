// A guest of a few pages on a real Xen, for a dom0 that has no other: code of your own, 32-bit, flat, paging off.
// Offsets are those of `struct hvm_hw_cpu` in Xen's arch-x86/hvm/save.h.

import { HVM_PARAM_MONITOR_RING_PFN } from 'xenctrl';

/** Where it begins. */
export const ENTRY = 0x10000;
/** The frame for the ring of monitor events: no memory of the guest's. */
const RING_GFN = 0xf0;
const PAGES = 0x40;

/**
 * Makes the domain and starts it. `domain.destroy()` ends it.
 *
 * @param contents bytes of its memory by address, with code at {@link ENTRY}; everything else is zeros
 * @param options of `xen.createDomain`
 */
export function startTinyGuest(xen, contents, options = {}) {
  const domain = xen.createDomain({ maxMemory: 4096, ...options });
  try {
    domain.setParam(HVM_PARAM_MONITOR_RING_PFN, RING_GFN);
    domain.populate(Array.from({ length: PAGES }, (_, gfn) => gfn));
    for (const [address, bytes] of Object.entries(contents)) {
      const page = domain.map([address >> 12], { write: true });
      page.bytes.set(bytes, address & 0xfff);
      page.close();
    }
    domain.setContext(flatContext(domain.context()));
    domain.unpause();
    return domain;
  } catch (error) {
    domain.destroy();
    throw error;
  }
}

/** Offsets and values: protected mode, flat segments. */
const CPU_BYTES = 1032;
const WIDE = { rip: [640, ENTRY], cr0: [656, 0x11], dr6: [720, 0xffff_0ff0], dr7: [728, 0x400] };
const LIMITS = { cs: [768, ~0], ds: [772, ~0], es: [776, ~0], ss: [788, ~0], tr: [792, 0x67] };
const RIGHTS = { cs: [888, 0xc9b], ds: [892, 0xc93], es: [896, 0xc93], ss: [908, 0xc93], tr: [912, 0x8b] };

/** A stream of the header that Xen itself wrote, the record of vCPU 0, and the end. */
function flatContext(current) {
  const header = 8 + new DataView(current.buffer, current.byteOffset).getUint32(4, true);
  const stream = new Uint8Array(header + 8 + CPU_BYTES + 8);
  stream.set(current.subarray(0, header));
  const view = new DataView(stream.buffer);
  view.setUint16(header, 2, true); // HVM_SAVE_CODE_CPU; the last record's code is 0
  view.setUint32(header + 4, CPU_BYTES, true);
  const cpu = header + 8;
  for (const [at, value] of Object.values(WIDE)) view.setBigUint64(cpu + at, BigInt(value), true);
  for (const [at, value] of [LIMITS, RIGHTS].flatMap(Object.values)) view.setUint32(cpu + at, value, true);
  return stream;
}
