/**
 * Monitoring of one domain, from the set-up of the ring to its end. One session is one listener; Xen allows one a domain.
 *
 * A session is consumed in one of three ways, by one consumer at a time:
 * - {@link MonitorSession.events}: `for await`, with promises; the simplest.
 * - {@link MonitorSession.serve}: a handler called from the event loop, without a promise an event; handlers may be async
 *   and are then concurrent.
 * - {@link MonitorSession.run}: blocks its thread, as a C program does; for the lowest latency, in a Worker.
 *
 * While nobody consumes, events stay in the ring; when it is full, Xen pauses the vCPUs that have more. Nothing is lost.
 * The end of the loop, whatever its cause, closes the session: what is on is switched off, every event is answered, the
 * ring is given back. So does the end of the process, but for SIGKILL (see `guard`).
 */

import { setImmediate as turn } from 'node:timers/promises';
import { errno } from '../../abi/errno.js';
import { VM_EVENT_ABIS, type VmEventLayout, vmEventLayout } from '../../abi/vm_event.js';
import { VIRQ_DOM_EXC } from '../../abi/xen.js';
import { checkBoolean, checkDomid } from '../../hypervisor/check.js';
import { XenError } from '../../hypervisor/error.js';
import type { EventChannels } from '../../hypervisor/event_channels.js';
import { xc_hvm_inject_trap } from '../../xc/inject.js';
import type { XcInterface } from '../../xc/interface.js';
import { xc_monitor_enable } from '../../xc/monitor.js';
import { type VmEventRing, xc_vm_event_get_version } from '../../xc/vm_event.js';
import { atExit } from './at_exit.js';
import { closeRing } from './close_ring.js';
import { domainEnd, type MonitorEnd } from './domain_end.js';
import type { MonitorEvent } from './event.js';
import { eventsOf } from './events.js';
import { startGuard } from './guard.js';
import { isPromise, type MonitorCounters, type MonitorHandler, MonitorLoop } from './loop.js';
import { Notifier } from './notifier.js';
import { hasRing, recoverMonitor } from './recover.js';
import { MonitorRing } from './ring.js';
import { checkSources, enableSources, type MonitorSources } from './sources.js';

export interface MonitorOptions extends MonitorSources {
  /** Take the ring from a listener that died without letting the domain go ({@link recoverMonitor}). Default: false. */
  readonly recover?: boolean;
  /** Ends the session when it is aborted. */
  readonly signal?: AbortSignal;
  /** Close the session on SIGINT, SIGTERM, `process.exit()` and uncaught errors. Default: true. */
  readonly closeAtExit?: boolean;
  /**
   * A second process that frees the domain as soon as this one is gone without having closed the session, killed by
   * SIGKILL, say. Without effect on the model, which ends with this process. Default: false.
   */
  readonly guard?: boolean;
}

const OWN_OPTIONS: ReadonlySet<string> = new Set(['recover', 'signal', 'closeAtExit', 'guard']);

/** How often the domain is looked at while nothing happens, for where VIRQ_DOM_EXC is somebody else's (xenstored's). */
const LOOK_MS = 1000;

/** X86_EVENT_NO_EC */
const NO_ERROR_CODE = 0xffff_ffff;

/** What a consumer has to do. */
interface Consumer {
  /** There may be events. */
  wake(): void;
  /** The session is closed. */
  ended(end: MonitorEnd): void;
}

export class MonitorSession implements Disposable, AsyncDisposable {
  readonly domid: number;
  readonly #xch: XcInterface;
  readonly #ring: VmEventRing;
  readonly #channels: EventChannels;
  readonly #port: number;
  readonly #notifier: Notifier;
  readonly #loop: MonitorLoop;
  /** What takes back what was done, oldest first. */
  readonly #undo: (() => void)[] = [];
  readonly #cleanUp: (() => void)[] = [];
  #consumer: Consumer | null = null;
  #end: MonitorEnd | null = null;
  #ringFailed = false;

  /**
   * Sets up the ring and switches on what the options name.
   *
   * @throws XenError `EBUSY`: the domain has a listener, or had one that died (`recover: true`); from
   *   `xc_domain_populate_physmap_exact`: it has all the memory it may have, and the ring takes a page. `ESRCH`: no such domain.
   *   `EPERM`: the caller is not privileged. Others: those of the calls behind the options.
   */
  static open(xch: XcInterface, domid: number, options: MonitorOptions = {}): MonitorSession {
    checkDomid(domid);
    checkSources(options, OWN_OPTIONS);
    for (const name of ['recover', 'closeAtExit', 'guard'] as const) {
      const value = options[name];
      if (value !== undefined) checkBoolean(value, `options.${name}`);
    }
    options.signal?.throwIfAborted();
    const layout = layoutOfXen(xch);
    const session = new MonitorSession(xch, domid, layout, takeRing(xch, domid, options.recover === true));
    try {
      session.#begin(options);
      return session;
    } catch (error) {
      session.close();
      throw error;
    }
  }

  private constructor(xch: XcInterface, domid: number, layout: VmEventLayout, ring: VmEventRing) {
    this.#xch = xch;
    this.domid = domid;
    this.#ring = ring;
    try {
      this.#channels = xch.hypervisor.eventChannels();
      this.#port = this.#channels.bindInterdomain(domid, ring.port);
      if (this.#port < 0) {
        this.#channels.close();
        throw new XenError('xenevtchn_bind_interdomain', this.#port, { domid });
      }
    } catch (error) {
      closeRing(xch, domid, ring.ring, null, false);
      throw error;
    }
    this.#channels.bindVirq(VIRQ_DOM_EXC); // -EEXIST where xenstored has it
    this.#notifier = new Notifier(this.#port, (port) => void this.#channels.notify(port));
    this.#loop = new MonitorLoop(new MonitorRing(ring.ring.bytes, layout), domid, layout, xch.abi.release, {
      notify: () => this.#notifier.notify(),
      flush: () => this.#notifier.flush(),
      inject: (vcpu, vector, type, insnLength, pendingDbg) => {
        quietly(() => xc_hvm_inject_trap(xch, domid, vcpu, vector, type, NO_ERROR_CODE, insnLength & 0xff, pendingDbg));
      },
    });
  }

  /** Each step is undone by {@link close}. */
  #begin(options: MonitorOptions): void {
    if (options.closeAtExit !== false) this.#cleanUp.push(atExit(() => this.close()));
    if (options.guard) this.#cleanUp.push(startGuard(this.#xch, this.domid));
    const { signal } = options;
    if (signal) {
      const onAbort = (): void => this.#finish({ cause: 'aborted', reason: signal.reason });
      signal.addEventListener('abort', onAbort);
      this.#cleanUp.push(() => signal.removeEventListener('abort', onAbort));
    }
    this.enable(options);
  }

  /** What has been done so far. */
  get counters(): MonitorCounters {
    return { ...this.#loop.counters };
  }

  /** How many events the agent has now and has not answered. */
  get unanswered(): number {
    return this.#loop.unanswered;
  }

  /** Why the session ended; null while it is open. */
  get end(): MonitorEnd | null {
    return this.#end;
  }

  /**
   * Switches more on; {@link close} switches it off again.
   *
   * @throws XenError `EEXIST`: it is on already. `EOPNOTSUPP`: this release or processor cannot report it.
   */
  enable(sources: MonitorSources): void {
    this.#mustBeOpen();
    checkSources(sources, OWN_OPTIONS);
    enableSources(this.#xch, this.domid, sources, (undo) => this.#undo.push(undo));
  }

  /** Has `undo` run when the session is closed, before the ring is given back; the newest first. */
  onClose(undo: () => void): void {
    this.#mustBeOpen();
    this.#undo.push(undo);
  }

  /**
   * The events, one after the other. Each is answered at the latest when the next is asked for. Leaving the loop, by
   * `break` or an error, closes the session; the end of the domain ends the loop ({@link end} tells).
   *
   * @throws MonitorRingError the ring cannot be used any more
   */
  events(): AsyncIterableIterator<MonitorEvent> {
    return eventsOf({
      attach: (wake) => this.#attach({ wake, ended: wake }),
      take: () => this.#guarded(() => this.#loop.take()),
      close: () => this[Symbol.asyncDispose](),
      ended: () => this.#end,
    });
  }

  /**
   * Calls `handler` for each event, from the event loop.
   *
   * @param onError is told what handlers throw, and the loop goes on; without it the first one ends the loop
   * @returns why it ended, once it has
   * @throws what a handler threw; MonitorRingError: the ring cannot be used any more
   */
  serve(handler: MonitorHandler, onError?: (error: unknown) => void): Promise<MonitorEnd> {
    return new Promise((resolve, reject) => {
      let scheduled = false;
      const failed = onError ?? ((error: unknown) => this.#finish({ cause: 'failed', error }));
      const stopped = (): boolean => this.#end !== null;
      const again = (): void => {
        scheduled = false;
        drain();
      };
      const drain = (): void => {
        if (stopped() || scheduled) return;
        try {
          if (this.#guarded(() => this.#loop.drain(handler, failed, stopped)) !== true) return;
        } catch {
          return; // the session has ended, and ended() below has said so
        }
        scheduled = true;
        setImmediate(again);
      };
      this.#attach({
        wake: drain,
        ended: (end) => (end.cause === 'failed' ? reject(end.error) : resolve(end)),
      });
      drain();
    });
  }

  /**
   * Calls `handler` for each event and blocks the thread in between, until the session is closed (by the handler) or the
   * domain ends. Promises, timers and signals of this thread wait meanwhile: use it in a Worker.
   *
   * @param stop is asked whenever nothing is in the ring, at least once a second; another thread that has {@link channels}
   *   open can have it asked at once, by `wake()`
   * @returns why it ended
   * @throws what the handler threw, or a TypeError when it returned a promise; MonitorRingError
   */
  run(handler: (event: MonitorEvent) => void, stop?: { requested(): boolean }): MonitorEnd {
    if (this.#xch.hypervisor.kind === 'model') {
      throw new TypeError("the model's guests run in this thread, so it cannot block: use serve() or events()");
    }
    this.#attach(null);
    const failed = (error: unknown): void => this.#finish({ cause: 'failed', error });
    const stopped = (): boolean => this.#end !== null;
    const synchronous: MonitorHandler = (event) => {
      if (!isPromise(handler(event))) return;
      throw new TypeError('run() blocks its thread, so its handler cannot be async: use serve()');
    };
    let more = false;
    const drain = (): void => {
      more = this.#guarded(() => this.#loop.drain(synchronous, failed, stopped));
    };
    while (this.#end === null) {
      const notify = this.#notifier.lazily(drain);
      if (stopped()) break;
      const stopping = stop?.requested() === true;
      if (more || stopping) {
        if (notify !== 0) this.#channels.notify(notify);
        if (stopping) this.close();
      } else {
        this.#took(this.#channels.next(LOOK_MS, notify));
      }
    }
    const end = this.#end as unknown as MonitorEnd;
    if (end.cause === 'failed') throw end.error;
    return end;
  }

  /** The session's event channels, for another thread to open: `hypervisor.eventChannels(session.channels)`. */
  get channels(): { readonly fd: number; readonly wakeFd: number } {
    return { fd: this.#channels.fd, wakeFd: this.#channels.wakeFd };
  }

  /**
   * Switches everything off, answers every event, gives the ring back. Twice is harmless. Does not throw: what cannot be
   * undone because the domain is gone needs no undoing.
   */
  close(): void {
    this.#finish({ cause: 'closed' });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * {@link close}, but the vCPUs get a turn of the event loop between their answers and the ring's end, so that they do what
   * was held up. On real Xen they run at once; those of the model run from the event loop. The end of {@link events} does so.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#end === null) {
      this.#undoAll();
      try {
        this.#loop.finish();
      } catch {
        this.#ringFailed = true;
      }
      await turn();
      await turn();
    }
    this.close();
  }

  #undoAll(): void {
    for (const undo of this.#undo.splice(0).reverse()) quietly(undo);
  }

  #mustBeOpen(): void {
    if (this.#end !== null) throw new TypeError(`this monitor session of domain ${this.domid} is closed`);
  }

  #attach(consumer: Consumer | null): void {
    this.#mustBeOpen();
    if (this.#consumer) throw new TypeError('this monitor session has a consumer: events(), serve() or run(), once');
    this.#consumer = consumer ?? { wake: () => {}, ended: () => {} };
    if (consumer === null) return;
    const wake = (): void => consumer.wake();
    this.#channels.onPort((port) => {
      this.#took(port);
      return this.#end === null ? this.#notifier.lazily(wake) : 0;
    });
    const timer = setInterval(() => this.#look(), LOOK_MS).unref();
    this.#cleanUp.push(() => clearInterval(timer));
  }

  /** A ring that makes no sense ends the session. */
  #guarded<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      this.#ringFailed = true;
      this.#finish({ cause: 'failed', error });
      throw error;
    }
  }

  /** @param port one that was signalled; 0: none for a while; or why there can be no more */
  #took(port: number): void {
    if (port === this.#port || port === -errno.EINTR) return;
    if (port >= 0)
      this.#look(); // nothing, or VIRQ_DOM_EXC
    else this.#finish({ cause: 'failed', error: new XenError('xenevtchn_pending', port, { domid: this.domid }) });
  }

  /** Ends the session when the domain has ended, or cannot be looked at any more. */
  #look(): void {
    try {
      const end = domainEnd(this.#xch, this.domid);
      if (end) this.#finish(end);
    } catch (error) {
      this.#finish({ cause: 'failed', error });
    }
  }

  #finish(end: MonitorEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    this.#notifier.end();
    for (const cleanUp of this.#cleanUp.splice(0)) cleanUp();
    this.#channels.onPort(null);
    this.#undoAll();
    closeRing(this.#xch, this.domid, this.#ring.ring, this.#loop, this.#ringFailed);
    this.#channels.close();
    this.#consumer?.ended(end);
  }
}

/** Undoing goes on whatever happens: the guest must not stay frozen. What Xen refuses is gone, or off already. */
function quietly(undo: () => void): void {
  try {
    undo();
  } catch (error) {
    if (!(error instanceof XenError)) process.emitWarning(error instanceof Error ? error : String(error));
  }
}

/** The layout of the events that this Xen makes. */
function layoutOfXen(xch: XcInterface): VmEventLayout {
  const version = xc_vm_event_get_version(xch);
  const abi = VM_EVENT_ABIS.find((known) => known === version);
  if (abi !== undefined) return vmEventLayout(abi);
  const hint = `this Xen's events have layout ${version}; this package knows ${VM_EVENT_ABIS.join(', ')}`;
  throw new XenError('xc_vm_event_get_version', -errno.EOPNOTSUPP, { hint });
}

function takeRing(xch: XcInterface, domid: number, recover: boolean): VmEventRing {
  try {
    return xc_monitor_enable(xch, domid);
  } catch (error) {
    if (!recover || !(error instanceof XenError) || error.code !== 'EBUSY' || !hasRing(xch, domid)) throw error;
  }
  recoverMonitor(xch, domid);
  return xc_monitor_enable(xch, domid);
}
