/** The software Xen of `monitor --demo`: a guest with two vCPUs that never stops doing what agents like to hear of. */

import { HVMOP_guest_request_vm_event } from '../../abi/hvm/hvm_op.js';
import { XENMEM_access } from '../../abi/memory.js';
import { __HYPERVISOR_hvm_op } from '../../abi/xen.js';
import { type Guest, ModelXen } from '../../model/index.js';
import {
  xc_altp2m_create_view,
  xc_altp2m_set_domain_state,
  xc_altp2m_set_vcpu_enable_notify,
} from '../../xc/altp2m.js';
import { Xen } from '../../xen/xen.js';
import { Session } from '../session.js';

const PAGES = 256;
const PAGE = 0x1000;
/** The frame that is watched, and the one for #VE, which VMFUNC needs. */
const WATCHED = 0x40;
const VE_PAGE = 0x50;
const MSR_LSTAR = 0xc000_0082;

/** What `monitor --demo` watches unless it is told otherwise. */
export const DEMO_EVENTS = `cr3,cpuid,guest_request,breakpoints,msr=0x${MSR_LSTAR.toString(16)}`;
export const DEMO_WATCH = `0x${WATCHED.toString(16)}:rx`;

export interface Demo {
  readonly session: Session;
  /** Has each vCPU that can run do its next step. */
  step(): void;
}

type Step = (turn: number) => void;

/** One vCPU's round, endlessly. */
function vcpuSteps({ vcpus }: Guest, id: number, view: number): readonly Step[] {
  const cpu = vcpus[id] ?? vcpus[0];
  const process = (turn: number): bigint => BigInt(((turn % 3) + 1) * 2 + id) * BigInt(PAGE);
  const store = (turn: number): void => void cpu.write(WATCHED * PAGE + id * 8, Uint8Array.of(turn));
  const common: Step[] = [(turn) => void cpu.writeCr(3, process(turn)), store, (turn) => void cpu.cpuid(turn % 2)];
  if (id === 0) {
    return [
      ...common,
      () => void cpu.hypercall(__HYPERVISOR_hvm_op, HVMOP_guest_request_vm_event, 0),
      (turn) => void cpu.wrmsr(MSR_LSTAR, 0xffff_ffff_8100_0000n + BigInt(turn)),
    ];
  }
  return [() => void cpu.vmfunc(0, view), ...common, () => void cpu.vmfunc(0, 0), () => void cpu.int3(), store];
}

export function openDemo(): Demo {
  const model = new ModelXen();
  const guest = model.createGuest({ vcpus: 2, memoryPages: PAGES, pages: '4K', altp2m: 'mixed' });
  const xen = Xen.open({ hypervisor: model });
  const { xch } = xen;
  const { domid } = guest;
  xc_altp2m_set_domain_state(xch, domid, true);
  const view = xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
  xc_altp2m_set_vcpu_enable_notify(xch, domid, 1, VE_PAGE);
  const scripts = [0, 1].map((id) => ({ cpu: guest.vcpus[id], steps: vcpuSteps(guest, id, view), turn: 0 }));
  return {
    session: new Session(xen, new Map([[xen.domain(domid).uuid, 'demo']])),
    step() {
      for (const script of scripts) {
        if (!script.cpu?.canRun) continue;
        script.steps[script.turn % script.steps.length]?.(script.turn);
        script.turn++;
      }
    },
  };
}
