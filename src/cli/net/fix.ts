/** `xenctrl net fix`: a capture with its partial checksums completed. */

import { ChecksumClassifier } from '../../net/classifier.js';
import type { Command, Outcome } from '../command.js';
import { beside, rewriteCaptureFile } from './captures.js';
import { reasonLines } from './text.js';

export const fix: Command = {
  name: 'fix',
  summary: 'complete the partial checksums of a capture and change nothing else',
  description: [
    'Reads IN and writes OUT, the same but for the checksums that were partial: times, other packets, all blocks and options of pcapng are as they were. Corrupt packets stay corrupt.',
  ],
  operands: [{ name: 'IN' }, { name: 'OUT' }],
  examples: [
    ['net fix vif1.0.pcap fixed.pcap', 'as if the guest had completed them'],
    ['net fix - - < vif1.0.pcap | tshark -r - -o tcp.check_checksum:TRUE', 'in a pipe'],
  ],
  run: async (context): Promise<Outcome> => {
    const [input = '', output = ''] = context.operands;
    const classifier = new ChecksumClassifier();
    const { packets } = await rewriteCaptureFile(context, [input, output], {
      work: (bytes, batch) => classifier.classify(bytes, batch, true),
    });
    const { counts, reasons } = classifier;
    return beside(context, {
      json: { packets, fixed: counts.partial, ...counts },
      text: (style) => [
        `${style.good('completed')}  ${counts.partial} of ${packets} packets`,
        ...(counts.corrupt > 0 ? [`${style.bad('corrupt')}  ${counts.corrupt}, left as they are`] : []),
        ...reasonLines(style, reasons),
      ],
    });
  },
};
