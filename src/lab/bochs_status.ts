/** The status sector through which dom0 says how much it has written (lab/dom0/disk writes it). */

export interface BochsStatus {
  readonly done: boolean;
  /** Bytes of output that are on the disk for good. */
  readonly stdout: number;
  readonly stderr: number;
  /** Meaningful when done. */
  readonly exitCode: number;
  /** False when the files did not fit. */
  readonly filesComplete: boolean;
}

const LINE = /^state=(running|done) stdout=(\d+) stderr=(\d+) exit=(\d*) files=(none|ok|failed)\n/;

/** @returns null as long as there is no status, or only a part of one */
export function parseStatus(sector: Buffer): BochsStatus | null {
  const match = LINE.exec(sector.toString('latin1'));
  if (!match) return null;
  const [, state, stdout, stderr, exitCode, files] = match;
  return {
    done: state === 'done',
    stdout: Number(stdout),
    stderr: Number(stderr),
    exitCode: Number(exitCode),
    filesComplete: files !== 'failed',
  };
}
