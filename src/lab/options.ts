/** What a run of the lab can be told. */

/** `qemu`: boots in seconds, an AMD processor without altp2m. `bochs`: slower, an Intel one with altp2m, VMFUNC and #VE. */
export type LabEngine = 'qemu' | 'bochs';

/** Something that takes output and may be slow: a stream, or a test's collector. */
export interface LabOutput {
  /** @returns false: wait for `drain` before the next piece */
  write(piece: Uint8Array): boolean;
  once(event: 'drain' | 'close' | 'error', listener: () => void): unknown;
  off(event: 'drain' | 'close' | 'error', listener: () => void): unknown;
}

export interface LabOptions {
  /** The program and its arguments. No shell looks at them. */
  readonly command: readonly [string, ...string[]];
  /** Default `qemu`. */
  readonly engine?: LabEngine | undefined;
  /** More words for Xen's command line. They come last, and with Xen the last word counts. */
  readonly xenArgs?: string | undefined;
  /** PCI devices for QEMU, in the words of its `-device`: `e1000e,addr=10`. */
  readonly devices?: readonly string[] | undefined;
  /** Memory of the whole machine in MiB; dom0 gets half. Default 2048. */
  readonly memoryMiB?: number | undefined;
  /** Seconds from the emulator's start to the command's end. Default 300 (QEMU), 900 (Bochs). */
  readonly timeoutSeconds?: number | undefined;
  /** Folder that the command sees as /run/out. It is made when it is missing. Default: a folder that is thrown away. */
  readonly out?: string | undefined;
  /** Files and folders that Bochs' dom0 needs besides those it gets by itself. QEMU's sees everything anyway. */
  readonly include?: readonly string[] | undefined;
  /** The command's working folder, the same path in dom0. Default: this process's. */
  readonly cwd?: string | undefined;
  /** Takes the command's standard output. Default: this process's. */
  readonly stdout?: LabOutput | undefined;
  /** Takes the command's standard error. Default: this process's. */
  readonly stderr?: LabOutput | undefined;
  /** Is told in a few words what the lab is doing. */
  readonly onStage?: ((stage: string) => void) | undefined;
  /** Ends the run early; the emulator and its files go away, and the run rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface LabResult {
  /** The command's own. 127: no such program; 128 + n: it was ended by signal n. */
  readonly exitCode: number;
}

export const DEFAULT_MEMORY_MIB = 2048;
/** Below this, dom0 does not get its kernel and initramfs into its half. */
export const MIN_MEMORY_MIB = 768;
export const DEFAULT_TIMEOUT_SECONDS: Readonly<Record<LabEngine, number>> = { qemu: 300, bochs: 900 };
