/** What each `xenmem_access_t` lets a guest do, and how EPT expresses it (Xen's `ept_p2m_type_to_flags`). */

export const READ = 1;
export const WRITE = 2;
export const EXECUTE = 4;

/** Rights by access number, 0 to 9; `r_pw` (10 since Xen 4.20) reads like `r` for a guest's own accesses. */
const RIGHTS: readonly number[] = [
  0, // n
  READ, // r
  WRITE, // w
  READ | WRITE, // rw
  EXECUTE, // x
  READ | EXECUTE, // rx
  WRITE | EXECUTE, // wx
  READ | WRITE | EXECUTE, // rwx
  READ | EXECUTE, // rx2rw
  0, // n2rwx
  READ, // r_pw
];

export const ACCESS_RW = 3;
export const ACCESS_RWX = 7;
export const ACCESS_RX2RW = 8;
export const ACCESS_N2RWX = 9;
export const ACCESS_R_PW = 10;

export function accessRights(access: number): number {
  return RIGHTS[access] ?? 0;
}

/** An entry that may be written but not read is no valid EPT entry: the processor reports a misconfiguration. */
export function isMisconfigured(access: number): boolean {
  return (accessRights(access) & (READ | WRITE)) === WRITE;
}
