/** The software Xen of `--demo`: one guest with the memory and the registers of a Linux. */

import { ModelXen } from '../../model/index.js';
import { Introspector } from '../../vmi/introspector.js';
import { sampleLinux } from '../../vmi/sample_linux.js';
import { Xen } from '../../xen/xen.js';
import { Session } from '../session.js';

const PAGES = 8192;

/** Lays it out. */
export function demoSession(): Session {
  const model = new ModelXen();
  const guest = model.createGuest({ memoryPages: PAGES, vcpus: 2, altp2m: 'external' });
  const xen = Xen.open({ hypervisor: model });
  using vmi = Introspector.open(xen.xch, guest.domid);
  const { registers } = sampleLinux((address, bytes) => vmi.physical.write(address, bytes));
  for (const vcpu of guest.vcpus) {
    for (const [name, value] of Object.entries(registers)) vcpu.registers.set(name as keyof typeof registers, value);
  }
  return new Session(xen, new Map([[xen.domain(guest.domid).uuid, 'demo']]));
}

/** The profile of that guest. */
export function demoProfile(): string {
  return sampleLinux(() => undefined).profile;
}
