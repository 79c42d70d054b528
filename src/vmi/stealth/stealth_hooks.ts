/**
 * Breakpoints that a guest cannot find. Its vCPUs run in an altp2m view (HookView) in which a hooked frame shows a copy
 * with an INT3 in it, which can be executed and neither read nor written; whoever looks gets the page itself. docs/vmi.md
 * has a drawing.
 */

import { XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF, XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP } from '../../abi/domctl.js';
import { XEN_DMOP_EVENT_sw_exc } from '../../abi/hvm/dm_op.js';
import { checkBoolean, checkObject } from '../../hypervisor/check.js';
import { xc_domain_pause, xc_domain_unpause } from '../../xc/domain.js';
import { xc_hvm_inject_trap } from '../../xc/inject.js';
import type { XcInterface } from '../../xc/interface.js';
import { xc_monitor_get_capabilities } from '../../xc/monitor.js';
import { xc_domain_debug_control } from '../../xc/vcpu.js';
import { hexAddress, pageOffset } from '../address.js';
import { Introspector } from '../introspector.js';
import {
  type MonitorEnd,
  type MonitorEvent,
  type MonitorHandler,
  type MonitorOptions,
  MonitorSession,
} from '../monitor/index.js';
import { pagingOf } from '../paging.js';
import { type BreakpointEvent, type Hook, type HookHandler, type HookPlace, locate, type StealthHook } from './hook.js';
import { attempt, HookView } from './hook_view.js';
import { HookedPage, INT3 } from './hooked_page.js';

type AccessEvent = Extract<MonitorEvent, { reason: 'mem_access' }>;
type StepEvent = Extract<MonitorEvent, { reason: 'singlestep' }>;

/** How the hidden instruction, and an access that finds out, gets done. */
export type StepMode =
  /** By the processor: one instruction in view 0, where nothing is hooked. Needs Intel's monitor trap flag. */
  | 'singlestep'
  /** By Xen's emulator, which sees the pages themselves. It does not know all instructions. */
  | 'emulate';

export interface StealthHooksOptions {
  /** Hide the view from the guest (`xc_altp2m_set_visibility`). Default true. */
  readonly hidden?: boolean;
  /** Default: by single-stepping where the processor can. */
  readonly step?: StepMode;
  /** What else is to be reported, and how the session is set up. */
  readonly monitor?: MonitorOptions;
}

/** An x86 instruction has at most 15 bytes. */
const LONGEST = 16;
const VECTOR_BP = 3;
const NO_ERROR_CODE = 0xffff_ffff;
/** What is read where there is no memory. */
const NOTHING = new Uint8Array(64).fill(0xff);

/**
 * Hidden hooks in one domain.
 * ```ts
 * using hooks = StealthHooks.open(xch, domid);
 * hooks.add({ space, address: linux.symbol('do_exit') }, (event) => console.log(event.vcpu, event.regs.rdi));
 * await hooks.serve();
 * ```
 * It has the domain's monitor session. When that ends (by {@link close}, a signal, the end of the domain or of this
 * process) everything is undone: vCPUs go back to view 0, the view is destroyed, copies and the memory they took are given
 * back.
 *
 * Limits: what dom0 or a device writes to a hooked page gets into its copy at {@link refresh} only, or with the guest's
 * next write there; so does what an instruction writes there that also reads a hooked page, or is itself hooked. With
 * `'emulate'`, what one vCPU writes may get into a copy late for another that executes it at the same moment. In mixed mode
 * the guest may undo the hiding of the view.
 */
export class StealthHooks implements Disposable {
  readonly domid: number;
  readonly session: MonitorSession;
  /** The guest's memory, as it is without hooks. */
  readonly vmi: Introspector;
  readonly step: StepMode;
  readonly #xch: XcInterface;
  readonly #view: HookView;
  /** By frame. */
  readonly #pages = new Map<number, HookedPage>();
  readonly #hooks = new Map<number, Hook>();
  /** vCPUs that do one instruction in view 0 that writes to a hooked page. */
  readonly #stepping = new Set<number>();
  /** Pages that the emulator writes to: their copies are behind. */
  readonly #written = new Set<HookedPage>();

  /**
   * Sets up the session, the view, and moves the vCPUs into it.
   *
   * @throws XenError whose hint names what is missing, altp2m or the monitor; what had been done is undone
   */
  static open(xch: XcInterface, domid: number, options: StealthHooksOptions = {}): StealthHooks {
    checkObject(options, 'options');
    const { hidden = true, step, monitor = {} } = options;
    checkBoolean(hidden, 'options.hidden');
    if (step !== undefined && step !== 'singlestep' && step !== 'emulate') {
      throw new TypeError(`options.step must be singlestep or emulate, not ${String(step)}`);
    }
    const mode = step ?? (canStep(xch, domid) ? 'singlestep' : 'emulate');
    const sources = { ...monitor, breakpoints: true, ...(mode === 'singlestep' ? { singlestep: true } : {}) };
    const session = MonitorSession.open(xch, domid, sources);
    try {
      return new StealthHooks(xch, session, mode, new HookView(xch, domid, hidden));
    } catch (error) {
      session.close();
      throw error;
    }
  }

  private constructor(xch: XcInterface, session: MonitorSession, step: StepMode, view: HookView) {
    this.#xch = xch;
    this.session = session;
    this.domid = session.domid;
    this.step = step;
    this.#view = view;
    this.vmi = Introspector.open(xch, session.domid);
    session.onClose(() => this.#undo());
  }

  /** The number of the view that has the hooks. */
  get view(): number {
    return this.#view.index;
  }

  /** All hooks and patches. */
  get hooks(): readonly StealthHook[] {
    return [...this.#hooks.values()];
  }

  /**
   * Hides a breakpoint. The domain is paused for a moment.
   *
   * @throws RangeError there is a hook already, or no memory
   * @throws MemoryFault the address is not mapped
   */
  add(place: HookPlace, handler: HookHandler): StealthHook {
    if (typeof handler !== 'function') throw new TypeError('handler must be a function');
    return this.#put(place, Uint8Array.of(INT3), handler);
  }

  /**
   * Hides other code: vCPUs execute `bytes`, and read what was there.
   *
   * @param bytes within one page
   * @throws as {@link add}
   */
  patch(place: HookPlace, bytes: Uint8Array): StealthHook {
    if (!(bytes instanceof Uint8Array) || bytes.length === 0)
      throw new TypeError('bytes must be a Uint8Array that has some');
    return this.#put(place, bytes.slice(), null);
  }

  /**
   * Serves the domain's events until the session ends.
   *
   * @param others is given the events that are nothing to do with hooks
   * @param onError is told what handlers throw, and serving goes on; without it the first one ends the session
   * @returns why it ended
   * @throws what a handler threw
   */
  serve(others?: MonitorHandler, onError?: (error: unknown) => void): Promise<MonitorEnd> {
    const handler: MonitorHandler = (event) => {
      const done = this.handle(event);
      if (done === false) return others?.(event);
      return done === true ? undefined : done;
    };
    return this.session.serve(handler, onError);
  }

  /**
   * Does with an event what it means for the hooks; for who consumes the session by itself.
   *
   * @returns false: it is nothing to do with them; true: it is answered; a promise: once the hook's handler is done
   */
  handle(event: MonitorEvent): boolean | Promise<void> {
    switch (event.reason) {
      case 'software_breakpoint':
        return this.#breakpoint(event);
      case 'mem_access':
        return this.#access(event);
      case 'singlestep':
        return this.#stepped(event);
      default:
        return false;
    }
  }

  /** Copies the hooked pages again, for what was written to them from outside the guest. The domain is paused meanwhile. */
  refresh(): void {
    this.#whilePaused(() => this.#refreshAll());
  }

  /** Undoes everything and ends the session. Twice is harmless. */
  close(): void {
    this.session.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #put(place: HookPlace, bytes: Uint8Array, handler: HookHandler | null): StealthHook {
    if (this.session.end !== null) throw new TypeError('these hooks are closed');
    const physical = locate(place);
    const gfn = Math.floor(physical / 4096);
    const offset = physical % 4096;
    if (offset + bytes.length > 4096) throw new RangeError('what is hidden must be within one page');
    if (this.#pages.get(gfn)?.over(offset, bytes.length)) {
      throw new RangeError(`something is hidden at ${hexAddress(physical)} already`);
    }
    return this.#whilePaused(() => {
      const page = this.#pages.get(gfn) ?? this.#hookPage(gfn);
      const remove = (): void => this.#remove(hook);
      const hook: Hook = {
        physical,
        offset,
        bytes,
        handler,
        page,
        hits: 0,
        removed: false,
        remove,
        [Symbol.dispose]: remove,
      };
      page.add(hook);
      this.#hooks.set(physical, hook);
      return hook;
    });
  }

  #hookPage(gfn: number): HookedPage {
    if (!this.vmi.source.page(gfn)) throw new RangeError(`the guest has no memory at ${hexAddress(gfn * 4096)}`);
    const page = new HookedPage(this.vmi.source, gfn, this.#view.newShadow());
    page.refresh();
    this.#view.show(gfn, page.shadow);
    this.#pages.set(gfn, page);
    return page;
  }

  #remove(hook: Hook): void {
    if (hook.removed) return;
    hook.removed = true;
    if (this.session.end !== null) return; // all of them are undone
    this.#hooks.delete(hook.physical);
    this.#whilePaused(() => {
      const { page } = hook;
      page.delete(hook);
      if (!page.empty) return;
      this.#written.delete(page);
      this.#pages.delete(page.gfn);
      this.#view.hide(page.gfn, page.shadow);
    });
  }

  #whilePaused<T>(act: () => T): T {
    xc_domain_pause(this.#xch, this.domid);
    try {
      return act();
    } finally {
      attempt(() => xc_domain_unpause(this.#xch, this.domid));
    }
  }

  /** The session is closing: the guest is put back as it was. Events that wait are answered after this. */
  #undo(): void {
    const xch = this.#xch;
    const { domid } = this;
    let paused = false;
    attempt(() => {
      xc_domain_pause(xch, domid);
      paused = true;
    });
    for (const vcpu of this.#stepping) {
      attempt(() => xc_domain_debug_control(xch, domid, XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF, vcpu));
    }
    this.vmi.close();
    this.#view.close();
    for (const hook of this.#hooks.values()) hook.removed = true;
    this.#hooks.clear();
    this.#pages.clear();
    this.#stepping.clear();
    this.#written.clear();
    if (paused) attempt(() => xc_domain_unpause(xch, domid));
  }

  #breakpoint(event: BreakpointEvent): true | Promise<void> {
    const hook = this.#hooks.get(event.gfn * 4096 + pageOffset(event.regs.rip));
    if (hook?.handler && event.altp2mIdx === this.view) return this.#hit(event, hook, hook.handler) ?? true;
    // one that was taken out meanwhile: the vCPU looks again. The guest's own it gets.
    if (this.#isGuests(event)) this.#giveBack(event);
    event.respond();
    return true;
  }

  /** Whether the guest itself has an INT3 there. */
  #isGuests({ gfn, regs }: BreakpointEvent): boolean {
    return this.vmi.source.page(gfn)?.bytes[pageOffset(regs.rip)] === INT3;
  }

  #giveBack({ vcpu, insnLength }: BreakpointEvent): void {
    xc_hvm_inject_trap(this.#xch, this.domid, vcpu, VECTOR_BP, XEN_DMOP_EVENT_sw_exc, NO_ERROR_CODE, insnLength, 0);
  }

  #hit(event: BreakpointEvent, hook: Hook, handler: HookHandler): undefined | Promise<void> {
    hook.hits++;
    let result: void | Promise<void>;
    try {
      result = handler(event, hook);
    } catch (error) {
      this.#pass(event, hook);
      throw error;
    }
    if (result !== undefined) return Promise.resolve(result).finally(() => this.#pass(event, hook));
    this.#pass(event, hook);
    return undefined;
  }

  /** Has the instruction done that the hook hides, unless the handler has answered. */
  #pass(event: BreakpointEvent, hook: Hook): void {
    if (event.answered) return;
    if (hook.removed) event.respond();
    else if (this.step === 'emulate') event.respond({ emulate: true, instruction: this.#instruction(event) });
    else event.respond({ view: 0, fastSinglestep: this.view });
  }

  /** The instruction that the guest has at the vCPU's instruction pointer, and what follows. */
  #instruction({ gfn, regs }: BreakpointEvent): Uint8Array {
    const bytes = new Uint8Array(LONGEST);
    const space = this.vmi.space(regs.cr3, pagingOf(regs));
    const done = space.readInto(regs.rip, bytes);
    if (done > 0) return bytes.subarray(0, done);
    const offset = pageOffset(regs.rip);
    return this.vmi.source.page(gfn)?.bytes.slice(offset, offset + LONGEST) ?? bytes;
  }

  #access(event: AccessEvent): boolean {
    if (this.#view.isShadow(event.gfn)) {
      event.respond(event.write ? { emulate: 'nowrite' } : { emulate: true, readData: NOTHING });
      return true;
    }
    const page = this.#pages.get(event.gfn);
    if (!page || event.altp2mIdx !== this.view) return false;
    if (event.execute) this.#catchUp(page, event);
    else if (this.step === 'emulate') this.#emulateAccess(event);
    else if (event.write) {
      this.#stepping.add(event.vcpu);
      event.respond({ view: 0, toggleSinglestep: true });
    } else event.respond({ view: 0, fastSinglestep: this.view });
    return true;
  }

  /**
   * The emulator writes after the answer, and nobody tells when it has: until a copy has followed it is not executed. All
   * of them, for the write may lie across pages.
   */
  #emulateAccess(event: AccessEvent): void {
    for (const page of event.write ? this.#pages.values() : []) {
      if (this.#written.has(page)) continue;
      this.#written.add(page);
      this.#view.forbid(page.gfn);
    }
    event.respond({ emulate: true });
  }

  #catchUp(page: HookedPage, event: AccessEvent): void {
    if (this.#written.delete(page)) this.#view.show(page.gfn, page.shadow);
    page.refresh();
    event.respond();
  }

  /** The write is done: the copies follow (it may lie across pages), and the vCPU goes back among the hooks. */
  #stepped(event: StepEvent): boolean {
    if (!this.#stepping.delete(event.vcpu)) return false;
    this.#refreshAll();
    event.respond({ view: this.view, toggleSinglestep: true });
    return true;
  }

  #refreshAll(): void {
    for (const page of this.#pages.values()) page.refresh();
  }
}

function canStep(xch: XcInterface, domid: number): boolean {
  return ((xc_monitor_get_capabilities(xch, domid) >> XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP) & 1) === 1;
}
