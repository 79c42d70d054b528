/** `xenctrl net watch`: the checksums of what goes over an interface, by conversation. */

import { type Flow, Flows } from '../../net/vif/flows.js';
import { observe } from '../../net/vif/observe.js';
import type { Command, Context, Outcome } from '../command.js';
import { type Style, table } from '../style.js';
import { explained, forSeconds, NETNS, readDevice, readSeconds } from './vif/common.js';

/** How often the table on a terminal is drawn. */
const DRAW_MS = 500;
/** Conversations on a terminal. */
const ON_SCREEN = 20;

export const watch: Command = {
  name: 'watch',
  summary: 'watch the checksums of what goes over an interface',
  description: [
    'Until Ctrl-C, or for --seconds. Conversations with packets that their receiver will throw away come first. PARTIAL: left to the next device, and marked so; UNFINISHED: the same without the mark, so that nobody completes it; CORRUPT: wrong. OUT is what this machine sends out of the interface: to the guest, where it is a vif.',
  ],
  operands: [{ name: 'IFACE' }],
  options: [{ name: 'seconds', value: 'N', help: 'end after so long' }, NETNS],
  examples: [
    ['net watch vif1.0', 'what guest 1 sends and gets'],
    ['net watch eth0 --seconds 10 --json | jq .total', 'counts of ten seconds'],
  ],
  run: (context): Promise<Outcome> => explained(() => run(context)),
};

async function run(context: Context): Promise<Outcome> {
  const [name = ''] = context.operands;
  const device = readDevice(name, context);
  const seconds = readSeconds(context.options.get('seconds'), '--seconds');
  const flows = new Flows();
  const draw = (): void => context.live?.((style) => lines(flows, style, ON_SCREEN));
  const timer = setInterval(draw, DRAW_MS);
  draw();
  let dropped = 0;
  try {
    dropped = await observe(device, forSeconds(seconds, context.signal), (packet) => flows.add(packet));
  } finally {
    clearInterval(timer);
  }
  const aside = dropped === 0 ? {} : { aside: `${dropped} packets came too fast to be looked at` };
  if (context.live) {
    draw();
    return { json: undefined, text: () => [], ...aside };
  }
  const { packets, total } = flows;
  return {
    json: { interface: name, packets, dropped, total, flows: flows.list() },
    text: (style) => lines(flows, style, Number.POSITIVE_INFINITY),
    ...aside,
  };
}

function lines(flows: Flows, style: Style, most: number): string[] {
  if (flows.packets === 0) return [style.quiet('no packets yet')];
  const list = flows.list();
  const rows = list.slice(0, most).map((flow) => row(flow, style));
  const { good, partial, unfinished, corrupt, other } = flows.total;
  const [heading = '', ...body] = table(
    [
      ['', 'PROTOCOL', 'FROM', 'TO', 'PACKETS', 'GOOD', 'PARTIAL', 'UNFINISHED', 'CORRUPT', 'OTHER'],
      ...rows,
      ['all', '', '', '', ...[flows.packets, good, partial, unfinished, corrupt, other].map(String)],
    ],
    [4, 5, 6, 7, 8, 9],
  );
  const more = list.length > most ? [style.quiet(`and ${list.length - most} conversations more`)] : [];
  return [style.quiet(heading), ...body, ...more];
}

function row({ protocol, source, destination, outgoing, packets, tally }: Flow, style: Style): string[] {
  const { good, partial, unfinished, corrupt, other } = tally;
  const bad = (number: number): string => (number > 0 ? style.bad(String(number)) : '0');
  return [
    outgoing ? 'out' : 'in',
    protocol,
    source,
    destination,
    ...[packets, good, partial].map(String),
    bad(unfinished),
    bad(corrupt),
    String(other),
  ];
}
