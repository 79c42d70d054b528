/** What differs between Xen releases as numbers: interface versions and limits. Sources: `domctl.h`, `sysctl.h`, `vm_event.h`, `memory.h`. */

/** The releases whose domctl, sysctl and vm_event layouts this package knows, oldest first. */
export const RELEASES = ['4.14', '4.15', '4.16', '4.17', '4.18', '4.19', '4.20', '4.21', '4.22'] as const;

/** A Xen release, `major.minor`. */
export type Release = (typeof RELEASES)[number];

/** Position in {@link RELEASES}: compare releases with it. */
export function releaseIndex(release: Release): number {
  return RELEASES.indexOf(release);
}

/** True when `release` is `than` or newer. */
export function atLeast(release: Release, than: Release): boolean {
  return releaseIndex(release) >= releaseIndex(than);
}

export function isRelease(text: string): text is Release {
  return (RELEASES as readonly string[]).includes(text);
}

/** The numbers of one release that callers need before they can encode anything. */
export interface ReleaseAbi {
  readonly release: Release;
  /** `XEN_DOMCTL_INTERFACE_VERSION`. A wrong one gives EACCES before anything else is looked at. */
  readonly domctl: number;
  /** `XEN_SYSCTL_INTERFACE_VERSION`. */
  readonly sysctl: number;
  /** `VM_EVENT_INTERFACE_VERSION`. */
  readonly vmEvent: number;
  /** Value of `XENMEM_access_default`: 10, and 11 since 4.20, which gave 10 to `XENMEM_access_r_pw`. */
  readonly accessDefault: number;
  /** Most altp2m views a domain can have, view 0 included: `MAX_ALTP2M`, and since 4.21 a choice made at creation. */
  readonly maxAltp2m: number;
}

const abi = (
  release: Release,
  domctl: number,
  sysctl: number,
  vmEvent: number,
  accessDefault: number,
  maxAltp2m: number,
): ReleaseAbi => ({ release, domctl, sysctl, vmEvent, accessDefault, maxAltp2m });

const TABLE: Readonly<Record<Release, ReleaseAbi>> = {
  '4.14': abi('4.14', 0x12, 0x13, 6, 10, 10),
  '4.15': abi('4.15', 0x13, 0x13, 7, 10, 10),
  '4.16': abi('4.16', 0x14, 0x14, 7, 10, 10),
  '4.17': abi('4.17', 0x15, 0x15, 7, 10, 10),
  '4.18': abi('4.18', 0x16, 0x15, 7, 10, 10),
  '4.19': abi('4.19', 0x17, 0x15, 7, 10, 10),
  '4.20': abi('4.20', 0x17, 0x15, 7, 11, 10),
  '4.21': abi('4.21', 0x17, 0x16, 7, 11, 512),
  '4.22': abi('4.22', 0x18, 0x16, 7, 11, 512),
};

export function releaseAbi(release: Release): ReleaseAbi {
  return TABLE[release];
}
