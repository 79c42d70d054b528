import { errno, errnoName } from '../../abi/errno.js';

/** The kernel refused something about a network interface. */
export class NetDeviceError extends Error {
  override readonly name = 'NetDeviceError';
  /** The errno's name: `'ENODEV'`; `'ENOSYS'`: there is no native addon. */
  readonly code: string;
  /** Negative errno, as Node counts. */
  readonly errno: number;
  /** What was to be done: `'open'`. */
  readonly operation: string;
  /** The interface. */
  readonly device: string;
  readonly hint: string | undefined;

  /** @param rc a negative errno */
  constructor(operation: string, device: string, rc: number, hint = hintFor(rc)) {
    super(`${operation} ${device}: ${errnoName(rc)}${hint === undefined ? '' : `: ${hint}`}`);
    this.code = errnoName(rc);
    this.errno = rc;
    this.operation = operation;
    this.device = device;
    this.hint = hint;
  }
}

function hintFor(rc: number): string | undefined {
  switch (rc) {
    case -errno.ENODEV:
    case -errno.ENXIO:
      return 'there is no such interface';
    case -errno.EPERM:
    case -errno.EACCES:
      return 'that takes root (sudo), or CAP_NET_RAW and CAP_NET_ADMIN';
    case -errno.ENETDOWN:
      return 'the interface is down, or has gone';
    case -errno.ENOENT:
      return 'there is no such network namespace or device';
    default:
      return undefined;
  }
}
