/** What the command's exit code says. A signal that ends it ends it as such: 130 for Ctrl-C in a shell. */

/** All is well. */
export const EXIT_OK = 0;
/** Xen refused, a check failed, or something that is needed is missing. */
export const EXIT_FAILED = 1;
/** The command line is wrong; nothing was done. */
export const EXIT_USAGE = 2;
/** There is no Xen to talk to. */
export const EXIT_NO_XEN = 3;

/** The command line is wrong. `next` says what to do about it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly next: string | undefined;

  constructor(message: string, next?: string) {
    super(message);
    this.next = next;
  }
}

/** The command was understood and cannot be done. `next` says what to do about it. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code: string;
  readonly next: string | undefined;
  /** The command's exit code. */
  readonly exit: number;

  constructor(code: string, message: string, next?: string, exit = EXIT_FAILED) {
    super(message);
    this.code = code;
    this.next = next;
    this.exit = exit;
  }
}
