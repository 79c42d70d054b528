/** The handle that every call takes, as libxc's `xc_interface`. */

import { isRelease, RELEASES, type Release, type ReleaseAbi, releaseAbi, releaseIndex } from '../abi/release.js';
import { XENVER_version } from '../abi/version.js';
import { __HYPERVISOR_xen_version } from '../abi/xen.js';
import { XenError } from '../hypervisor/error.js';
import { type BackendName, openHypervisor } from '../hypervisor/open.js';
import type { Hypervisor } from '../hypervisor/port.js';
import { observe } from '../trace/observe.js';

export interface OpenOptions {
  /** A hypervisor that the caller opened (a model, say) and goes on owning. Excludes `backend`. */
  readonly hypervisor?: Hypervisor;
  /** Which adapter to open. Default: `XENCTRL_BACKEND`, else `'auto'`. */
  readonly backend?: BackendName | 'auto';
}

/** An open connection to Xen. Make it with {@link xc_interface_open}. */
export class XcInterface implements Disposable {
  /** Xen's own version, as XENVER_version gives it. */
  readonly xenVersion: { readonly major: number; readonly minor: number };
  readonly #owned: boolean;
  #hypervisor: Hypervisor | null;
  #abi: ReleaseAbi;
  /** Why domctl and sysctl cannot be encoded for this Xen, or null. */
  readonly privilegedRefusal: string | null;

  constructor(hypervisor: Hypervisor, owned: boolean) {
    this.#hypervisor = hypervisor;
    this.#owned = owned;
    const version = hypervisor.hypercall(__HYPERVISOR_xen_version, XENVER_version);
    if (version < 0) throw new XenError('xc_version', version);
    this.xenVersion = { major: version >>> 16, minor: version & 0xffff };
    const { release, refusal } = knownRelease(this.xenVersion.major, this.xenVersion.minor);
    this.#abi = releaseAbi(release);
    this.privilegedRefusal = refusal;
  }

  /** The hypervisor behind this handle. Throws TypeError once the handle is closed. */
  get hypervisor(): Hypervisor {
    if (this.#hypervisor === null) throw new TypeError('this xc_interface is closed');
    return this.#hypervisor;
  }

  /** Numbers and layouts of the running release. */
  get abi(): ReleaseAbi {
    return this.#abi;
  }

  close(): void {
    const hypervisor = this.#hypervisor;
    this.#hypervisor = null;
    if (this.#owned) hypervisor?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const NEWEST = RELEASES[RELEASES.length - 1] as Release;
let warned = false;

function knownRelease(major: number, minor: number): { release: Release; refusal: string | null } {
  const name = `${major}.${minor}`;
  if (isRelease(name)) return { release: name, refusal: null };
  const [oldest] = RELEASES;
  if (major < 4 || (major === 4 && minor < Number(oldest.slice(2)))) {
    // altp2m's own ABI never changed, so those calls work; the layouts of domctl and sysctl are not carried
    return {
      release: oldest,
      refusal: `Xen ${name} is older than ${oldest}: its domctl and sysctl layouts are not known`,
    };
  }
  if (!warned) {
    warned = true;
    process.emitWarning(`Xen ${name} is newer than this package knows; the layouts of ${NEWEST} are used`, {
      code: 'XENCTRL_NEW_RELEASE',
    });
  }
  return { release: NEWEST, refusal: null };
}

/** True when the running Xen is `than` or newer. */
export function xenAtLeast(xch: XcInterface, than: Release): boolean {
  return releaseIndex(xch.abi.release) >= releaseIndex(than);
}

/**
 * Opens a connection to Xen.
 *
 * Mirrors libxc's `xc_interface_open`. The handle is `Disposable`: `using xch = xc_interface_open()`.
 *
 * @throws BackendUnavailableError when the backend cannot be used; the message says what mends it
 */
export function xc_interface_open(options: OpenOptions = {}): XcInterface {
  if (options.hypervisor !== undefined && options.backend !== undefined) {
    throw new TypeError('give either hypervisor or backend, not both');
  }
  const owned = options.hypervisor === undefined;
  const hypervisor = options.hypervisor ?? openHypervisor(options.backend);
  try {
    return new XcInterface(observe(hypervisor), owned);
  } catch (error) {
    if (owned) hypervisor.close();
    throw error;
  }
}

/** Closes a connection. Twice is harmless. A hypervisor that the caller passed in stays open. Mirrors `xc_interface_close`. */
export function xc_interface_close(xch: XcInterface): void {
  xch.close();
}
