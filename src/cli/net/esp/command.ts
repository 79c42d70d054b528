/** `xenctrl net esp`: ESP tunnels on captures. */

import { type Command, commands } from '../../command.js';

export const esp: Command = {
  name: 'esp',
  summary: 'packets into an ESP tunnel, and out of it',
  description: ['Tunnel mode (RFC 4303) over IPv4 or IPv6, AES-GCM or AES-CBC with HMAC-SHA-256, as Linux speaks it.'],
  commands: commands({
    encap: async () => (await import('./encap.js')).encap,
    decap: async () => (await import('./decap.js')).decap,
  }),
  examples: [['net esp encap vif1.0.pcap esp.pcap --config tunnel.json', 'what the tunnel makes of a capture']],
};
