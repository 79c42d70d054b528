/** Why a packet was not encapsulated. */

import { errno as numbers } from '../../abi/errno.js';

/**
 * - `EINVAL`: no IP packet, or an offset of its checksum outside of it.
 * - `EMSGSIZE`: longer than the path takes, and nobody on it may fragment; `mtu` says what would fit.
 * - `EOVERFLOW`: the sequence numbers are used up, as Linux has it (`xfrm_replay_overflow`): new keys are needed.
 * - `EPERM`: not between the networks that the selectors name.
 * - `ENOMEM`: 2005's answer to a blank checksum under ESP, in the historic mode only.
 *
 * A blank checksum that cannot be completed is a `NetProtocolError`, EPROTO.
 */
export type EspErrorCode = 'EINVAL' | 'EMSGSIZE' | 'EOVERFLOW' | 'EPERM' | 'ENOMEM';

export class EspError extends Error {
  override readonly name = 'EspError';
  readonly code: EspErrorCode;
  /** Negative, as Node counts. */
  readonly errno: number;
  readonly stage = 'esp-encap';
  /** The interface or file that the packet came from. */
  readonly device: string;
  /** With EMSGSIZE: the longest packet that can be encapsulated. It belongs in the ICMP answer to the sender. */
  readonly mtu: number | undefined;

  constructor(code: EspErrorCode, message: string, device: string, mtu?: number) {
    super(`esp-encap: ${code}: ${message}${device === '' ? '' : ` (${device})`}`);
    this.code = code;
    this.errno = -numbers[code];
    this.device = device;
    this.mtu = mtu;
  }
}
