/** The sample Linux as guest memory, without a guest and in one of the model. */

import { type Guest, ModelXen } from '#dist/model/index.js';
import type { RegisterName } from '#dist/model/registers.js';
import { type Sample, type SampleOptions, sampleLinux } from '#dist/vmi/sample_linux.js';
import { type XcInterface, xc_interface_open } from '#dist/xc/interface.js';
import { TestMemory } from './test_memory.js';

/** Memory that has a frame wherever something was written. */
export function sampleMemory(options: SampleOptions = {}): { memory: TestMemory; sample: Sample } {
  const memory = new TestMemory();
  const sample = sampleLinux((address, bytes) => {
    for (let done = 0; done < bytes.length; ) {
      const frame = Math.floor((address + done) / 4096);
      const offset = (address + done) % 4096;
      const page = memory.writablePage(frame) ?? memory.add(frame);
      const part = bytes.subarray(done, done + 4096 - offset);
      page.bytes.set(part, offset);
      done += part.length;
    }
  }, options);
  return { memory, sample };
}

export interface SampleGuest {
  readonly xen: ModelXen;
  readonly guest: Guest;
  readonly xch: XcInterface;
  readonly domid: number;
  readonly sample: Sample;
}

/** A guest of the model that "runs" it: its vCPUs have the registers. */
export function sampleGuest(options: SampleOptions = {}): SampleGuest {
  const xen = new ModelXen();
  const guest = xen.createGuest({ memoryPages: 8192, pages: '4K', altp2m: 'external' });
  const xch = xc_interface_open({ hypervisor: xen });
  const sample = sampleLinux((address, bytes) => void guest.vcpus[0].write(address, bytes), options);
  setRegisters(guest, sample.registers);
  return { xen, guest, xch, domid: guest.domid, sample };
}

/** Gives all vCPUs these registers. */
export function setRegisters({ vcpus }: Guest, values: Readonly<Partial<Record<RegisterName, bigint>>>): void {
  for (const { registers } of vcpus) {
    for (const [name, value] of Object.entries(values)) registers.set(name as RegisterName, value);
  }
}
