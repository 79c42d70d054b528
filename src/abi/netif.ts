/** `io/netif.h`: the rings between a guest's network card and its backend. */

import { struct } from './layout.js';

/** `netif_tx_request.flags`: from the guest. The checksum is partial. */
export const NETTXF_csum_blank = 1;
/** The data are as their sender made them. */
export const NETTXF_data_validated = 2;
export const NETTXF_more_data = 4;
export const NETTXF_extra_info = 8;

/** `netif_rx_response.flags`: to the guest. The first two are the other way round than in the other direction. */
export const NETRXF_data_validated = 1;
export const NETRXF_csum_blank = 2;
export const NETRXF_more_data = 4;
export const NETRXF_extra_info = 8;
export const NETRXF_gso_prefix = 16;

export const XEN_NETIF_EXTRA_TYPE_GSO = 1;
export const XEN_NETIF_GSO_TYPE_TCPV4 = 1;
export const XEN_NETIF_GSO_TYPE_TCPV6 = 2;

export const NETIF_RSP_DROPPED = -2;
export const NETIF_RSP_ERROR = -1;
export const NETIF_RSP_OKAY = 0;

/** The first of a frame's has the whole frame's size, the others have their own. */
export const netif_tx_request = struct('netif_tx_request', 'io/netif.h', 12, {
  gref: [0, 4],
  offset: [4, 2],
  flags: [6, 2],
  id: [8, 2],
  size: [10, 2],
});

export const netif_rx_response = struct('netif_rx_response', 'io/netif.h', 8, {
  id: [0, 2],
  offset: [2, 2],
  flags: [4, 2],
  status: [6, 2],
});
