/** A connection to Xen. */

import { checkCount, checkDomid, checkObject } from '../hypervisor/check.js';
import type { Hypervisor } from '../hypervisor/port.js';
import { type DomainInfo, xc_domain_getinfo_single, xc_domain_getinfolist } from '../xc/domain_info.js';
import { type OpenOptions, type XcInterface, xc_interface_open } from '../xc/interface.js';
import { type PhysInfo, xc_physinfo } from '../xc/sysctl.js';
import { checkUuid } from '../xc/uuid.js';
import {
  type CompileInfo,
  xc_xenver_capabilities,
  xc_xenver_changeset,
  xc_xenver_commandline,
  xc_xenver_compile_info,
  xc_xenver_extraversion,
} from '../xc/version.js';
import { type CreateDomainOptions, createDomain } from './create.js';
import { Domain } from './domain.js';
import { Identity, noSuchDomain } from './identity.js';

export interface XenOptions extends OpenOptions {
  /**
   * For how many milliseconds a {@link Domain} and its views trust that their id still means the same domain. Default 0:
   * they make sure before every call.
   */
  readonly trustFor?: number;
}

/** The running Xen's version. */
export interface XenVersion {
  readonly major: number;
  readonly minor: number;
  /** What follows: `'.2'`. */
  readonly extra: string;
  /** All of it: `'4.17.2'`. */
  readonly text: string;
}

/** The host, as {@link Xen.info} tells. */
export interface XenInfo {
  readonly version: XenVersion;
  /** Kinds of guests: `['xen-3.0-x86_64', 'hvm-3.0-x86_64']`. */
  readonly capabilities: readonly string[];
  /** Xen's own boot options. */
  readonly commandLine: string;
  /** The commit that Xen was built from. */
  readonly changeset: string;
  readonly compile: CompileInfo;
  readonly physical: PhysInfo;
}

/** Ids of ordinary domains are below this. */
const ALL_DOMAINS = 0x7ff0;

/**
 * A connection to Xen, and where everything starts:
 * ```ts
 * using xen = Xen.open();
 * for (const domain of xen.domains()) console.log(domain.domid, domain.uuid);
 * ```
 */
export class Xen implements Disposable {
  /** The handle behind it, for the `xc_*` calls. */
  readonly xch: XcInterface;
  readonly #trustFor: number;
  #version: XenVersion | undefined;

  private constructor(xch: XcInterface, trustFor: number) {
    this.xch = xch;
    this.#trustFor = trustFor;
  }

  /**
   * Opens a connection.
   *
   * @throws BackendUnavailableError when the backend cannot be used; the message says what mends it
   */
  static open(options: XenOptions = {}): Xen {
    checkObject(options, 'options');
    const { trustFor = 0, ...rest } = options;
    checkCount(trustFor, 'options.trustFor');
    return new Xen(xc_interface_open(rest), trustFor);
  }

  /** What answers: a real Xen through `'privcmd'` or `'libxen'`, or the `'model'`. */
  get kind(): Hypervisor['kind'] {
    return this.xch.hypervisor.kind;
  }

  get version(): XenVersion {
    const { major, minor } = this.xch.xenVersion;
    const extra = (): string => xc_xenver_extraversion(this.xch);
    this.#version ??= ((text) => ({ major, minor, extra: text, text: `${major}.${minor}${text}` }))(extra());
    return this.#version;
  }

  /**
   * Tells about Xen and the host.
   *
   * @throws XenError `EPERM`: the caller is not privileged
   */
  info(): XenInfo {
    const { xch } = this;
    return {
      version: this.version,
      capabilities: xc_xenver_capabilities(xch).split(' ').filter(Boolean),
      commandLine: xc_xenver_commandline(xch),
      changeset: xc_xenver_changeset(xch),
      compile: xc_xenver_compile_info(xch),
      physical: xc_physinfo(xch),
    };
  }

  /** What Xen tells about all domains, in the order of their ids. */
  list(): DomainInfo[] {
    return xc_domain_getinfolist(this.xch, 0, ALL_DOMAINS);
  }

  /** All domains, in the order of their ids. */
  domains(): Domain[] {
    return this.list().map((info) => this.#domain(info));
  }

  /**
   * One domain.
   *
   * @param which its id or its UUID. Of several with the UUID (a guest that migrates within the host) the one that is
   *   not being torn down is meant.
   * @throws XenError `ESRCH`: there is none
   * @throws RangeError when several live domains have the UUID
   */
  domain(which: number | string): Domain {
    if (typeof which === 'string') return this.#domain(this.#byUuid(which));
    checkDomid(which);
    return this.#domain(xc_domain_getinfo_single(this.xch, which));
  }

  /**
   * Makes a domain: empty, and paused once. When a step fails nothing is left of it.
   *
   * @throws XenError as `xc_domain_create` and the calls after it
   */
  createDomain(options: CreateDomainOptions = {}): Domain {
    const { domid, uuid } = createDomain(this.xch, options);
    return new Domain(new Identity(this.xch, domid, uuid, this.#trustFor));
  }

  /** Closes the connection. Twice is harmless. A hypervisor that was passed in stays open. */
  close(): void {
    this.xch.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #domain({ domain, handle }: DomainInfo): Domain {
    return new Domain(new Identity(this.xch, domain, handle, this.#trustFor));
  }

  #byUuid(text: string): DomainInfo {
    checkUuid(text, 'which');
    const uuid = text.toLowerCase();
    const all = this.list().filter((info) => info.handle === uuid);
    const live = all.filter((info) => !info.dying);
    if (live.length > 1) {
      throw new RangeError(
        `domains ${live.map((info) => info.domain).join(', ')} all have the UUID ${uuid}: give an id`,
      );
    }
    const found = live[0] ?? all[0];
    if (!found) throw noSuchDomain(uuid);
    return found;
  }
}
