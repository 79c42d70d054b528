/** A capture that cannot be read on. */

export type CaptureFault =
  /** It begins as no capture does. */
  | 'magic'
  /** It ends before its first packet could come. */
  | 'header'
  /** A packet says that it is longer than any is. */
  | 'packet-length'
  /** A block of pcapng whose lengths do not fit together. */
  | 'block-length'
  /** A packet of pcapng that came on an interface which no block describes. */
  | 'interface'
  /** More interfaces than any machine has. */
  | 'interfaces';

/** The file is no capture, or is damaged. */
export class CaptureError extends Error {
  override readonly name = 'CaptureError';
  readonly code = 'ERR_CAPTURE';
  readonly fault: CaptureFault;
  /** Where the trouble begins, in bytes from the beginning of the file. */
  readonly position: number;

  constructor(fault: CaptureFault, position: number, message: string) {
    super(`${message} (at byte ${position})`);
    this.fault = fault;
    this.position = position;
  }
}
