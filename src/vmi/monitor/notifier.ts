/** Telling Xen of answers: at once, or together with the next system call that is made anyway. */

export class Notifier {
  readonly #port: number;
  readonly #send: (port: number) => void;
  #owed = false;
  #lazy = false;

  /** @param send signals a port */
  constructor(port: number, send: (port: number) => void) {
    this.#port = port;
    this.#send = send;
  }

  /** There are answers. */
  notify(): void {
    this.#owed = true;
    if (!this.#lazy) this.flush();
  }

  /** Tells what is owed now. */
  flush(): void {
    if (this.#take() !== 0) this.#send(this.#port);
  }

  /** From now on nobody else sees to it: tells what is owed, and of each answer at once. */
  end(): void {
    this.#lazy = false;
    this.flush();
  }

  /**
   * Does something that answers events, and leaves telling Xen of them to the caller.
   *
   * @returns the port to be signalled, or 0
   */
  lazily(act: () => void): number {
    this.#lazy = true;
    let done = false;
    try {
      act();
      done = true;
    } finally {
      this.#lazy = false;
      if (!done) this.flush();
    }
    return this.#take();
  }

  #take(): number {
    const port = this.#owed ? this.#port : 0;
    this.#owed = false;
    return port;
  }
}
