/** Which addresses a 64-bit PV domain may hand to Xen (`__addr_ok`). An HVM domain may name any, and finds out. */

const CANONICAL_END = 2 ** 47;
const HYPERVISOR_END = 0xffff_8800_0000_0000;

/** False for Xen's own addresses and those that no processor takes. */
export function inPvRange(address: number): boolean {
  return address < CANONICAL_END || address >= HYPERVISOR_END;
}
