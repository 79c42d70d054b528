/**
 * For how long what was read of page tables may be trusted. A guest that runs changes them at any time, and nobody tells.
 *
 * Live: until the next turn of the event loop, so that one piece of synchronous code looks at one state of the guest; or
 * for as long as somebody holds it, saying that the guest does not run. An image: for ever.
 */
export class Freshness {
  /** Counts up whenever everything that was kept is stale. */
  generation = 0;
  readonly #live: boolean;
  #scheduled = false;
  #holds = 0;

  constructor(live: boolean) {
    this.#live = live;
  }

  /** Something was kept. */
  note(): void {
    if (!this.#live || this.#scheduled || this.#holds > 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#holds === 0) this.renew();
    }).unref();
  }

  /** Makes everything stale. */
  renew(): void {
    this.generation++;
  }

  /** Until it is disposed of, the guest's tables do not change. */
  hold(): Disposable {
    this.renew();
    this.#holds++;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#holds--;
        this.renew();
      },
    };
  }
}
