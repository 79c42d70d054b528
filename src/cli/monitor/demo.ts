/** The software Xen of `monitor --demo`: a guest with two vCPUs that never stops doing what agents like to hear of. */

import { HVMOP_guest_request_vm_event } from '../../abi/hvm/hvm_op.js';
import { XENMEM_access } from '../../abi/memory.js';
import { __HYPERVISOR_hvm_op } from '../../abi/xen.js';
import { type GuestResult, type Instruction, ModelXen, type ScriptCpu } from '../../model/index.js';
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
  /** Has the guest go to work; the end of the scope stops it. */
  start(): Disposable;
}

/** What vCPU 0 does, endlessly: an operating system's work. */
function* system(cpu: ScriptCpu): Generator<Instruction, void, GuestResult> {
  for (let turn = 0; ; turn++) {
    yield* process(cpu, turn);
    yield cpu.hypercall(__HYPERVISOR_hvm_op, HVMOP_guest_request_vm_event, 0);
    yield cpu.wrmsr(MSR_LSTAR, 0xffff_ffff_8100_0000n + BigInt(turn & 0xff));
  }
}

/** What vCPU 1 does: the same in another view, which it enters and leaves by itself, and a breakpoint. */
function* inView(cpu: ScriptCpu, view: number): Generator<Instruction, void, GuestResult> {
  for (let turn = 0; ; turn++) {
    yield cpu.vmfunc(0, view);
    yield* process(cpu, turn);
    yield cpu.vmfunc(0, 0);
    yield cpu.int3();
  }
}

/** A process gets its turn, stores something and asks what processor this is. */
function* process(cpu: ScriptCpu, turn: number): Generator<Instruction, void, GuestResult> {
  yield cpu.writeCr(3, BigInt(((turn % 3) + 1) * 2 + cpu.id) * BigInt(PAGE));
  yield cpu.write(WATCHED * PAGE + cpu.id * 8, Uint8Array.of(turn & 0xff));
  yield cpu.cpuid(turn % 2);
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
  return {
    session: new Session(xen, new Map([[xen.domain(domid).uuid, 'demo']])),
    start() {
      const [first, second] = guest.vcpus;
      const runs = [first.run(system), second?.run((cpu) => inView(cpu, view))];
      return {
        [Symbol.dispose]() {
          for (const run of runs) run?.stop();
        },
      };
    },
  };
}
