/** `xenctrl net esp encap`: the packets of a capture into an ESP tunnel. */

import { encapsulateCapture } from '../../../net/esp/capture.js';
import type { Command, Outcome } from '../../command.js';
import { EXIT_FAILED, EXIT_OK } from '../../exit.js';
import { ABOUT_CONFIG, beside, CAPTURES, CONFIG, counted, openTunnel, passCaptures } from './tunnel_file.js';

export const encap: Command = {
  name: 'encap',
  summary: 'encapsulate the packets of a capture in ESP',
  description: [
    'Reads IN (pcap or pcapng; - is the standard input) and writes the ESP packets to OUT. A checksum that is partial, as guests with checksum offload leave them, is completed first: nobody can do it later. The exit code is 1 when IP packets are left out; the counts say why.',
    ABOUT_CONFIG,
  ],
  operands: CAPTURES,
  options: [CONFIG],
  examples: [
    ['net esp encap vif1.0.pcap esp.pcap --config tunnel.json', 'what the tunnel makes of packets captured on a vif'],
    ['net esp encap in.pcap out.pcap --config tunnel.json --json | jq .refused', 'why packets were left out'],
  ],
  run: async (context): Promise<Outcome> => {
    using tunnel = openTunnel(context, 'outbound');
    const pass = encapsulateCapture.bind(null, tunnel);
    const { packets, notIp } = await passCaptures(context, pass);
    const { encapsulated, encapsulatedBytes, finished, oversize, refused } = tunnel.counters;
    const sequence = String(tunnel.sequence);
    const why = counted({ ...refused, 'no whole IP packet': notIp });
    return beside(context, {
      json: {
        packets,
        encapsulated,
        encapsulatedBytes,
        finished,
        oversize,
        notIp,
        refused,
        sequence,
        crypto: tunnel.crypto,
      },
      text: (style) => [
        `${style.good('encapsulated')}  ${encapsulated} of ${packets} packets, the last with sequence number ${sequence}`,
        `partial checksums completed: ${finished}`,
        ...(oversize > 0 ? [`longer than the MTU, to be fragmented: ${oversize}`] : []),
        ...(why === '' ? [] : [`${style.bad('left out')}  ${why}`]),
      ],
      code: Object.values(refused).some((count) => count > 0) ? EXIT_FAILED : EXIT_OK,
    });
  },
};
