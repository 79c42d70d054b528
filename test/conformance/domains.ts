/** Domains that a test makes for itself and that go when it is over: `using domain = hvmDomain(target)`. */

import * as xc from '#dist/index.js';
import { createHvm, type HvmOptions } from './hvm.js';
import type { Target } from './target.js';

/** An id that no domain here has: ids are given out from 1 on, and no test makes so many domains. */
export const ABSENT_DOMID = 0x6fff;

/** Frames of {@link hvmDomain} that hold nothing, within what a guest can have and beyond it. */
export const HOLE = 0x5000;
export const FAR_HOLE = 2 ** 36;

export class TestDomain implements Disposable {
  readonly domid: number;
  readonly #xch: xc.XcInterface;

  constructor(xch: xc.XcInterface, domid: number) {
    this.#xch = xch;
    this.domid = domid;
  }

  get info(): xc.DomainInfo {
    return xc.xc_domain_getinfo_single(this.#xch, this.domid);
  }

  destroy(): void {
    xc.xc_domain_destroy(this.#xch, this.domid);
  }

  [Symbol.dispose](): void {
    try {
      this.destroy();
    } catch (error) {
      if (!(error instanceof xc.XenError && error.code === 'ESRCH')) throw error;
    }
  }
}

/** An HVM domain with vCPUs and memory, paused. */
export function hvmDomain({ xch }: Target, options: HvmOptions = {}): TestDomain {
  return new TestDomain(xch, createHvm(xch, options));
}

/** A domain as `xc_domain_create` leaves it: no vCPUs, no memory. */
export function bareDomain({ xch }: Target, config: Partial<xc.DomainConfig> = {}, domid = 0): TestDomain {
  const flags = xc.XEN_DOMCTL_CDF_hvm | xc.XEN_DOMCTL_CDF_hap;
  return new TestDomain(xch, xc.xc_domain_create(xch, domid, { flags, max_vcpus: 1, ...config }));
}

/** A PV domain: no vCPUs, no memory. */
export function pvDomain(target: Target): TestDomain {
  return bareDomain(target, { flags: 0 });
}

/** `count` frames from `first` on. */
export function frames(count: number, first = 0): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}
