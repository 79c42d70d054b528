/** The software Xen of `--demo`: one guest with the memory and the registers of a Linux. */

import { hvm_hw_cpu } from '../../abi/hvm/save.js';
import { ModelXen } from '../../model/index.js';
import { Introspector } from '../../vmi/introspector.js';
import { type Sample, sampleLinux } from '../../vmi/sample_linux.js';
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
  for (const { context } of guest.vcpus) setRegisters(context, registers);
  return new Session(xen, new Map([[xen.domain(guest.domid).uuid, 'demo']]));
}

function setRegisters(context: Uint8Array, registers: Sample['registers']): void {
  const view = new DataView(context.buffer, context.byteOffset, context.length);
  for (const name of ['cr0', 'cr3', 'cr4', 'msr_efer', 'msr_lstar'] as const) {
    view.setBigUint64(hvm_hw_cpu.at[name], registers[name], true);
  }
}

/** The profile of that guest. */
export function demoProfile(): string {
  return sampleLinux(() => undefined).profile;
}
