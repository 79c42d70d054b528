/** A booted machine, as the driver sees it: the same for both emulators. */

import type { Emulator } from './emulator.js';

/** The command has ended, and all its output was handed on. */
export interface Finished {
  readonly exitCode: number;
}

export interface LabMachine {
  readonly emulator: Emulator;
  /** File with Xen's and dom0's console. */
  readonly console: string;
  /** File with what the emulator itself says. */
  readonly log: string;
  /** Hands new output on. Called again and again until it says that the command has ended. */
  poll(): Promise<Finished | null>;
  /** Brings the command's files to where they were wanted. Called once, after the command's end. */
  collect(): Promise<void>;
  /** Lets go of what is held open besides the emulator. */
  close(): void;
}
