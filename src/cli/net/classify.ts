/** `xenctrl net classify`: what the checksums of a capture's packets are. */

import { ChecksumClassifier } from '../../net/classifier.js';
import { FlowTable } from '../../net/flows.js';
import { Timeline } from '../../net/timeline.js';
import type { Command, Outcome } from '../command.js';
import { readCaptureFile } from './captures.js';
import { isInterface, readInterface } from './interface.js';

import { flowLines, reasonLines, stateLines } from './text.js';
import { writeTimelineSvg } from './timeline_svg.js';
import { NETNS } from './vif/common.js';

/** Flows in the text unless all are asked for. */
const FEW = 12;

export const classify: Command = {
  name: 'classify',
  summary: 'count the good, partial and corrupt checksums of a capture, flow by flow',
  description: [
    'Reads FILE (pcap or pcapng; - is the standard input), or looks at what goes over an interface of that name, for --seconds or until Ctrl-C. A guest with checksum offload leaves the sum of the pseudo-header in the field, for a device to complete: such a packet is partial, and must be completed before it leaves the host, or is encrypted. Captured on a vif it is no fault; captured anywhere else it is.',
  ],
  operands: [{ name: 'FILE' }],
  options: [
    { name: 'flows', help: 'all flows, each with its counts; with --json as `flows`' },
    {
      name: 'reasons',
      help: 'with --json, as `reasons`: why packets could not be looked at (the text always has them)',
    },
    { name: 'svg', value: 'FILE', help: 'also draw when packets had which checksums into FILE' },
    { name: 'seconds', value: 'N', help: 'of an interface: end after so long' },
    NETNS,
  ],
  examples: [
    ['net classify vif1.0.pcap', 'counts, and the flows with most packets that a receiver would throw away'],
    ['net classify vif1.0 --seconds 10', 'the same of an interface, as it is now'],
    ['net classify vif1.0.pcap --json', '{packets, good, partial, corrupt, none, other}'],
    ['net classify eth0.pcapng --svg when.svg', 'and a picture: when were they bad?'],
  ],
  run: async (context): Promise<Outcome> => {
    const { operands, options } = context;
    const [file = ''] = operands;
    const classifier = new ChecksumClassifier();
    const flows = options.has('flows') || !options.has('json') ? new FlowTable() : null;
    const svg = options.get('svg');
    const timeline = svg === undefined ? null : new Timeline();
    const state = classifier.state.bind(classifier);
    const read = isInterface(file, context) ? readInterface : readCaptureFile;
    const { packets } = await read(context, file, (bytes, batch) => {
      classifier.classify(bytes, batch);
      flows?.add(bytes, batch, state);
      timeline?.add(batch, state);
    });
    if (svg !== undefined && timeline) writeTimelineSvg(svg, timeline);
    const { counts, reasons } = classifier;
    return {
      json: {
        packets,
        ...counts,
        ...(options.has('flows') ? { flows: flows?.list() } : {}),
        ...(options.has('reasons') ? { reasons } : {}),
      },
      text: (style) => [
        ...stateLines(style, packets, counts),
        ...reasonLines(style, reasons),
        ...(flows ? flowLines(style, flows.list(options.has('flows') ? undefined : FEW), flows.size) : []),
        ...(flows && flows.unlisted > 0
          ? [style.quiet(`packets of flows that are not listed: ${flows.unlisted}`)]
          : []),
        ...(svg === undefined ? [] : [`drawn into ${svg}`]),
      ],
    };
  },
};
