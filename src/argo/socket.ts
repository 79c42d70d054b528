/** Datagrams and streams over Argo. They speak as those of V4V do, message types and stream headers included. */

import type { V4vAddr } from '../abi/v4v_rules.js';
import { type SocketOptions, V4vSocket } from '../v4v/socket.js';
import { type ServerOptions, type StreamOptions, V4vServer, V4vStream } from '../v4v/stream.js';
import type { ArgoDriver } from './driver.js';

/**
 * A datagram socket: see {@link V4vSocket}. Without `partner` any domain may send to it, for which Xen must have been booted
 * with `mac-permissive=1`.
 */
export class ArgoSocket extends V4vSocket {
  /** @throws XenError see `argo_register_ring` */
  constructor(driver: ArgoDriver, options: SocketOptions = {}) {
    super(driver, options);
  }
}

/** Takes connections on a port: see {@link V4vServer}. */
export class ArgoServer extends V4vServer {
  /** @throws XenError see `argo_register_ring` */
  constructor(driver: ArgoDriver, options: ServerOptions) {
    super(driver, options);
  }
}

/** Connects to a server in another domain: a `Duplex` with back pressure. @throws XenError see `argo_register_ring` */
export function argoConnect(driver: ArgoDriver, to: V4vAddr, options: StreamOptions = {}): V4vStream {
  return new V4vStream({ driver, remote: to, conid: null }, options);
}
