/** `xenctrl net esp decap`: the packets of a capture out of an ESP tunnel. */

import { decapsulateCapture } from '../../../net/esp/capture.js';
import type { EspDrop } from '../../../net/esp/counters.js';
import type { Command, Outcome } from '../../command.js';
import { EXIT_FAILED, EXIT_OK } from '../../exit.js';
import { ABOUT_CONFIG, beside, CAPTURES, CONFIG, counted, openTunnel, passCaptures } from './tunnel_file.js';

/** What a capture of a sound tunnel may have as well. */
const HARMLESS: ReadonlySet<string> = new Set<EspDrop>(['not-esp', 'address', 'keepalive', 'ike', 'dummy']);

export const decap: Command = {
  name: 'decap',
  summary: 'take the packets of a capture out of ESP',
  description: [
    'Reads IN (pcap or pcapng; - is the standard input) and writes the packets that were inside to OUT. Only what is authentic comes out, and each packet once. The exit code is 1 when packets of this tunnel are dropped; the counts say why.',
    ABOUT_CONFIG,
  ],
  operands: CAPTURES,
  options: [CONFIG],
  examples: [
    ['net esp decap esp.pcap inner.pcap --config tunnel.json', 'what came through the tunnel'],
    ['net esp decap esp.pcap - --config tunnel.json | xenctrl net classify -', 'did it come with sound checksums?'],
  ],
  run: async (context): Promise<Outcome> => {
    using tunnel = openTunnel(context, 'inbound');
    const pass = decapsulateCapture.bind(null, tunnel);
    const { packets, notIp } = await passCaptures(context, pass);
    const { decapsulated, decapsulatedBytes, dropped } = tunnel.counters;
    const highest = String(tunnel.highest);
    const why = counted({ ...dropped, 'no whole IP packet': notIp });
    return beside(context, {
      json: { packets, decapsulated, decapsulatedBytes, notIp, dropped, highest, crypto: tunnel.crypto },
      text: (style) => [
        `${style.good('decapsulated')}  ${decapsulated} of ${packets} packets, the highest sequence number is ${highest}`,
        ...(why === '' ? [] : [`${style.bad('dropped')}  ${why}`]),
      ],
      code: Object.entries(dropped).some(([name, count]) => count > 0 && !HARMLESS.has(name)) ? EXIT_FAILED : EXIT_OK,
    });
  },
};
