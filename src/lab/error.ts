/** Exit codes that are the lab's own; every other one is the command's. */

/** The lab itself failed: something is missing, the emulator died, Xen or dom0 crashed, the command line is wrong. */
export const EXIT_LAB_FAILED = 125;
/** The command did not end in time. */
export const EXIT_TIMED_OUT = 124;

/** The command has no exit code of its own, because it did not run or did not end. */
export class LabError extends Error {
  override readonly name = 'LabError';
  /** What a process that shows this error should exit with. */
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT_LAB_FAILED) {
    super(message);
    this.exitCode = exitCode;
  }
}
