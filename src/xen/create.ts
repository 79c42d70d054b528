/** Making a domain: the calls that turn "a guest with two vCPUs in external mode" into one, in the order Xen wants. */

import { randomUUID } from 'node:crypto';
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm, XEN_DOMCTL_CDF_nested_virt } from '../abi/domctl.js';
import {
  HVM_PARAM_ALTP2M,
  XEN_ALTP2M_disabled,
  XEN_ALTP2M_external,
  XEN_ALTP2M_limited,
  XEN_ALTP2M_mixed,
} from '../abi/hvm/params.js';
import { checkBoolean, checkDomid, checkObject, checkU16, checkU32, checkU64 } from '../hypervisor/check.js';
import { xc_domain_destroy, xc_domain_max_vcpus } from '../xc/domain.js';
import { type DomainConfig, xc_domain_create } from '../xc/domain_create.js';
import { xc_hvm_param_set } from '../xc/hvm_param.js';
import { type XcInterface, xenAtLeast } from '../xc/interface.js';
import { xc_domain_setmaxmem, xc_set_paging_mempool_size } from '../xc/memory.js';
import { checkUuid } from '../xc/uuid.js';
import type { Altp2mModeName } from './altp2m.js';

const MODES: Readonly<Record<Altp2mModeName, number>> = {
  disabled: XEN_ALTP2M_disabled,
  mixed: XEN_ALTP2M_mixed,
  external: XEN_ALTP2M_external,
  limited: XEN_ALTP2M_limited,
};

/** The page tables of a small guest and some views fit in 8 MiB. */
const DEFAULT_POOL = 8 * 2 ** 20;

export interface CreateDomainOptions {
  /** Default `'hvm'`; without a device model that is a PVH guest. */
  readonly type?: 'hvm' | 'pv';
  /** Default: a random one. */
  readonly uuid?: string;
  /** Default: the next that is free. */
  readonly domid?: number;
  /** Default 1. */
  readonly vcpus?: number;
  /** How much memory it may have, in KiB; {@link Domain.populate} gives it. Default 0. */
  readonly maxMemory?: number | bigint;
  /** Hardware-assisted paging. Default: true for HVM. */
  readonly hap?: boolean;
  readonly nestedVirt?: boolean;
  /** Who may use altp2m. Works on every release, whether it takes the mode at creation (4.19) or as a parameter. */
  readonly altp2m?: Altp2mModeName;
  /** Views, view 0 included. Default 10. Another number: since Xen 4.21. */
  readonly altp2mViews?: number;
  /** Bytes for page tables, from Xen 4.17 on. Default 8 MiB for HVM; raise it for many views. */
  readonly pagingPool?: number | bigint;
}

/**
 * Makes a domain that is paused once and has no memory yet. When a step fails it is destroyed again.
 *
 * @internal
 */
export function createDomain(xch: XcInterface, options: CreateDomainOptions): { domid: number; uuid: string } {
  checkObject(options, 'options');
  const { domid: wanted = 0, uuid = randomUUID(), vcpus = 1, maxMemory = 0, type = 'hvm' } = options;
  const { pagingPool = type === 'hvm' ? DEFAULT_POOL : 0 } = options;
  checkDomid(wanted);
  checkUuid(uuid, 'options.uuid');
  checkU32(vcpus, 'options.vcpus');
  checkU64(maxMemory, 'options.maxMemory');
  checkU64(pagingPool, 'options.pagingPool');
  const mode = checkMode(options.altp2m ?? 'disabled');
  const atCreation = xenAtLeast(xch, '4.19');
  const domid = xc_domain_create(xch, wanted, config(options, uuid, vcpus, atCreation ? mode : XEN_ALTP2M_disabled));
  try {
    xc_domain_max_vcpus(xch, domid, vcpus);
    xc_domain_setmaxmem(xch, domid, maxMemory);
    if (Number(pagingPool) > 0 && xenAtLeast(xch, '4.17')) xc_set_paging_mempool_size(xch, domid, pagingPool);
    if (!atCreation && mode !== XEN_ALTP2M_disabled) xc_hvm_param_set(xch, domid, HVM_PARAM_ALTP2M, mode);
  } catch (error) {
    xc_domain_destroy(xch, domid);
    throw error;
  }
  return { domid, uuid: uuid.toLowerCase() };
}

function checkMode(mode: Altp2mModeName): number {
  if (typeof mode !== 'string' || !Object.hasOwn(MODES, mode)) {
    throw new TypeError(`options.altp2m must be one of ${Object.keys(MODES).join(', ')}, not ${String(mode)}`);
  }
  return MODES[mode];
}

function config(options: CreateDomainOptions, uuid: string, vcpus: number, opts: number): DomainConfig {
  const { type = 'hvm', nestedVirt = false, altp2mViews } = options;
  if (type !== 'hvm' && type !== 'pv') throw new TypeError(`options.type must be hvm or pv, not ${String(type)}`);
  const { hap = type === 'hvm' } = options;
  checkBoolean(hap, 'options.hap');
  checkBoolean(nestedVirt, 'options.nestedVirt');
  if (altp2mViews !== undefined) checkU16(altp2mViews, 'options.altp2mViews');
  const flags =
    (type === 'hvm' ? XEN_DOMCTL_CDF_hvm : 0) |
    (hap ? XEN_DOMCTL_CDF_hap : 0) |
    (nestedVirt ? XEN_DOMCTL_CDF_nested_virt : 0);
  return { flags, max_vcpus: vcpus, handle: uuid, altp2m: { opts, nr: altp2mViews } };
}
