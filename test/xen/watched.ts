/** A software Xen that counts what it is asked. */

import { type GuestOptions, type ModelOptions, ModelXen } from '#dist/model/index.js';
import type { Domain } from '#dist/xen/domain.js';
import { Xen } from '#dist/xen/xen.js';

export class WatchedXen extends ModelXen {
  calls = 0;

  override hypercall(op: number, a1?: number, a2?: number, a3?: number, a4?: number, a5?: number): number {
    this.calls++;
    return super.hypercall(op, a1, a2, a3, a4, a5);
  }
}

export interface Setting {
  readonly model: WatchedXen;
  readonly xen: Xen;
  readonly domain: Domain;
}

/** A guest of 2 MiB with two vCPUs, in mixed mode, altp2m on. */
export function setting(options: ModelOptions = {}, guest: GuestOptions = {}): Setting {
  const model = new WatchedXen(options);
  const { domid } = model.createGuest({ vcpus: 2, memoryPages: 0x200, altp2m: 'mixed', ...guest });
  const xen = Xen.open({ hypervisor: model });
  const domain = xen.domain(domid);
  if ((guest.altp2m ?? 'mixed') !== 'disabled') domain.altp2m.enable();
  return { model, xen, domain };
}
