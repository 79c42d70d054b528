/** `domain.monitor`: what a domain does, reported as it happens. */

import {
  XEN_DOMCTL_MONITOR_EVENT_CPUID,
  XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION,
  XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS,
  XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED,
  XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST,
  XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT,
  XEN_DOMCTL_MONITOR_EVENT_INTERRUPT,
  XEN_DOMCTL_MONITOR_EVENT_IO,
  XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR,
  XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL,
  XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP,
  XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT,
  XEN_DOMCTL_MONITOR_EVENT_VMEXIT,
  XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG,
} from '../abi/domctl.js';
import type { MonitorEvent } from '../vmi/monitor/event.js';
import { type Recovered, recoverMonitor } from '../vmi/monitor/recover.js';
import { type MonitorOptions, MonitorSession } from '../vmi/monitor/session.js';
import type { MonitorSources } from '../vmi/monitor/sources.js';
import { MonitorWorker, type MonitorWorkerOptions } from '../vmi/monitor/worker.js';
import { xc_monitor_get_capabilities } from '../xc/monitor.js';
import type { Identity } from './identity.js';

/** What each option needs; what is missing here, every HVM domain has. */
const CAPABILITIES: Readonly<Partial<Record<keyof MonitorSources | 'nextInterrupt', number>>> = {
  cr: XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG,
  msr: XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR,
  singlestep: XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP,
  breakpoints: XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT,
  guestRequest: XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST,
  debug: XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION,
  cpuid: XEN_DOMCTL_MONITOR_EVENT_CPUID,
  privilegedCall: XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL,
  nextInterrupt: XEN_DOMCTL_MONITOR_EVENT_INTERRUPT,
  descriptor: XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS,
  emulUnimplemented: XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED,
  inguestPagefault: XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT,
  vmexit: XEN_DOMCTL_MONITOR_EVENT_VMEXIT,
  io: XEN_DOMCTL_MONITOR_EVENT_IO,
};

/** An option of monitoring that not every host and release has. */
export type MonitorCapability = keyof typeof CAPABILITIES;

/**
 * Monitoring of a domain. Xen allows one listener a domain at a time.
 * ```ts
 * for await (const event of domain.monitor.events({ cr: { cr3: true }, signal })) {
 *   if (event.reason === 'write_ctrlreg') console.log(event.vcpu, event.newValue);
 * }
 * ```
 * A vCPU whose event waits for an answer is frozen. It goes on when the event is answered; an event that nobody answers is
 * answered when the next is asked for, when its handler returns or throws, and when the loop ends, whatever ends it.
 */
export class Monitor {
  readonly #identity: Identity;

  /** @internal */
  constructor(identity: Identity) {
    this.#identity = identity;
  }

  /**
   * Becomes the domain's listener, and switches on what the options name.
   * ```ts
   * await using session = domain.monitor.open({ singlestep: true });
   * ```
   *
   * @throws XenError `EBUSY`: the domain has a listener, or had one that died: `recover: true` frees it. `EOPNOTSUPP`:
   *   this release or processor cannot report one of the options ({@link capabilities}).
   */
  open(options: MonitorOptions = {}): MonitorSession {
    this.#identity.check('xc_monitor_enable');
    return MonitorSession.open(this.#identity.xch, this.#identity.domid, options);
  }

  /**
   * The events of a session that lasts as long as the loop.
   *
   * @throws XenError as {@link open}, when the first event is asked for
   */
  async *events(options: MonitorOptions = {}): AsyncGenerator<MonitorEvent, void, undefined> {
    const session = this.open(options);
    try {
      yield* session.events();
    } finally {
      session.close();
    }
  }

  /**
   * Becomes the domain's listener in a Worker, whose thread blocks until there is an event. Not on the model.
   *
   * @param module whose default export, a {@link MonitorAgent}, gives the handler; a URL, or what `import()` takes
   * @returns once the agent listens
   * @throws what the module's function threw, or as {@link open}
   */
  async worker(module: URL | string, options: MonitorWorkerOptions = {}): Promise<MonitorWorker> {
    this.#identity.check('xc_monitor_enable');
    return await MonitorWorker.start(this.#identity.xch, this.#identity.domid, module, options);
  }

  /**
   * Frees the domain from a listener that died without letting it go. A live one loses its ring, too.
   *
   * @throws XenError `EBUSY`: vCPUs wait for room in a ring that nobody can reach any more
   */
  recover(): Recovered {
    this.#identity.check('xc_monitor_disable');
    return recoverMonitor(this.#identity.xch, this.#identity.domid);
  }

  /** Which options can be had for this domain on this host. */
  get capabilities(): readonly MonitorCapability[] {
    this.#identity.check('xc_monitor_get_capabilities');
    const mask = xc_monitor_get_capabilities(this.#identity.xch, this.#identity.domid);
    const names = Object.entries(CAPABILITIES) as [MonitorCapability, number][];
    return names.filter(([, event]) => mask & (1 << event)).map(([name]) => name);
  }
}
