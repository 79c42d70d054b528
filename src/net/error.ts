/** What cannot be done to a packet. */

import { errno as numbers } from '../abi/errno.js';

/** What was to be done: its names are the commands' and the modules'. */
export type NetStage = 'finish' | 'nat' | 'esp-encap' | 'esp-decap' | 'vnet-hdr';

/**
 * A packet whose checksum is partial cannot be completed, since nothing says how for its protocol: netback and netfront
 * offload TCP and UDP only. It has Linux' errno for it (`skb_checksum_setup`), -EPROTO.
 */
export class NetProtocolError extends Error {
  override readonly name = 'NetProtocolError';
  readonly code = 'EPROTO';
  readonly errno = -numbers.EPROTO;
  readonly stage: NetStage;
  /** Number of the protocol above IP; -1: not even IP. */
  readonly ipProto: number;
  /** The interface or file that it came from. */
  readonly device: string;

  constructor(stage: NetStage, ipProto: number, device: string) {
    const what = ipProto < 0 ? 'a frame that is not IP' : `IP protocol ${ipProto}`;
    super(`${stage}: EPROTO: no checksum of ${what} can be completed${device === '' ? '' : ` (${device})`}`);
    this.stage = stage;
    this.ipProto = ipProto;
    this.device = device;
  }
}
