/** `xenctrl net vif status`: what a vif's two ends leave to each other, and who has to change what. */

import { listXenVifs } from '../../../net/vif/keys.js';
import { observeTraffic, type Tally } from '../../../net/vif/observe.js';
import { type VifEnd, type VifObservation, type VifReport, vifStatus } from '../../../net/vif/status.js';
import { kernelSwitches } from '../../../net/vif/switches.js';
import { vethPeer } from '../../../net/vif/veth.js';
import type { Command, Context, Outcome } from '../../command.js';
import { CommandError, EXIT_FAILED, EXIT_OK } from '../../exit.js';
import { type Style, table, wrap } from '../../style.js';
import { explained, forSeconds, NETNS, openXenstore, readDevice, readSeconds, XENSTORE } from './common.js';

export const status: Command = {
  name: 'status',
  summary: "tell what a vif's ends leave to each other, and who has to change what",
  description: [
    "VIF is dom0's interface (vif1.0), or one end of a veth pair; without it, all vifs that xenstore knows. A sender with checksum offload leaves TCP's and UDP's checksums to its device, and a vif's device is the other end. That is right as long as all who have the packet know of it.",
    'With --observe, the packets of so many seconds are looked at; with --uplink, those that leave the host, too: only then can it be told whether something on the way is broken. The exit code is 1 when something is.',
  ],
  operands: [{ name: 'VIF', optional: true }],
  options: [
    { name: 'observe', value: 'SECONDS', help: 'look at the packets for so long' },
    { name: 'uplink', value: 'IFACE', help: 'the interface by which what comes from the guest leaves the host' },
    NETNS,
    XENSTORE,
  ],
  examples: [
    ['net vif status', 'all vifs of this dom0'],
    ['net vif status vif1.0 --observe 10 --uplink eth0', 'is anything broken between this guest and the network?'],
  ],
  run: (context): Promise<Outcome> => explained(() => run(context)),
};

async function run(context: Context): Promise<Outcome> {
  using store = await openXenstore(context);
  const sources = { store, switches: kernelSwitches, peer: vethPeer };
  const [name] = context.operands;
  const names = name === undefined ? await vifNames(store) : [name];
  const observed = name === undefined ? undefined : await look(context, name);
  const reports: VifReport[] = [];
  for (const one of names) reports.push(await vifStatus(readDevice(one, context), sources, observed));
  const faults = reports.flatMap(({ findings }) => findings).filter(({ level }) => level === 'fault').length;
  return {
    json: { vifs: reports, observed },
    text: (style, columns) =>
      reports.flatMap((report) => [...lines(report, observed, style, columns), '']).slice(0, -1),
    code: faults > 0 ? EXIT_FAILED : EXIT_OK,
  };
}

async function vifNames(store: Parameters<typeof vifStatus>[1]['store']): Promise<string[]> {
  const vifs = store ? await listXenVifs(store) : [];
  if (vifs.length > 0) return vifs.map(({ name }) => name);
  const why = store ? 'xenstore has no vif of a guest' : 'there is no xenstore here';
  throw new CommandError('ENOENT', `no VIF was named, and ${why}`, 'name an interface: `ip link` lists them');
}

async function look(context: Context, name: string): Promise<VifObservation | undefined> {
  const seconds = readSeconds(context.options.get('observe'), '--observe');
  if (seconds === undefined) return undefined;
  const until = forSeconds(seconds, context.signal);
  const uplink = context.options.get('uplink');
  context.progress(`looking at packets for ${seconds} s`);
  try {
    const [vif, traffic] = await Promise.all([
      observeTraffic(readDevice(name, context), until),
      uplink === undefined ? null : observeTraffic(readDevice(uplink, context), until),
    ]);
    return uplink === undefined || traffic === null ? { vif } : { vif, uplink: { name: uplink, traffic } };
  } finally {
    context.progress('');
  }
}

function lines(report: VifReport, observed: VifObservation | undefined, style: Style, columns: number): string[] {
  const { name, domid, dom0, guest, fromGuest, toGuest, findings } = report;
  const rows = [
    ['', 'INTERFACE', 'TX CHECKSUMS', 'TSO', 'KEYS IN XENSTORE'],
    ['dom0', ...end(dom0)],
    ['guest', ...end(guest)],
  ];
  const [heading = '', ...body] = table(rows);
  return [
    `${style.heading(name)}${domid === null ? '' : `  domain ${domid}`}`,
    style.quiet(heading),
    ...body,
    `from the guest  IPv4 ${fromGuest.ipv4}, IPv6 ${fromGuest.ipv6}`,
    `to the guest    IPv4 ${toGuest.ipv4}, IPv6 ${toGuest.ipv6}`,
    ...(report.isVif
      ? []
      : [style.warning('this is no vif of a domain, nor a veth whose other end can be seen from here')]),
    ...(observed ? seen(observed, style) : []),
    ...findings.flatMap(({ level, side, text, remedy }) => [
      '',
      ...wrap(`${level === 'fault' ? style.bad('fault') : style.quiet('note')}  ${side}: ${text}.`, columns),
      `  ${style.literal(remedy)}`,
    ]),
  ];
}

function end({ device, switches, keys }: VifEnd): string[] {
  const onOff = (on: boolean | null | undefined): string =>
    on === undefined ? '?' : on === null ? '-' : on ? 'on' : 'off';
  const place = device?.netns === undefined ? '' : ` in ${device.netns.replace('/run/netns/', '')}`;
  const told = keys
    ? Object.entries(keys.offload).map(([key, value]) => `${key.replace('feature-', '')}=${value}`)
    : [];
  return [
    device ? `${device.name}${place}` : 'not seen from here',
    onOff(switches?.txIpv4),
    onOff(switches?.offloads.tso),
    told.length > 0 ? told.join(' ') : '-',
  ];
}

function seen({ vif, uplink }: VifObservation, style: Style): string[] {
  const row = (what: string, { good, partial, unfinished, corrupt, other }: Tally): string[] =>
    [what, good, partial, unfinished, corrupt, other].map(String);
  const rows = [
    ['SEEN', 'GOOD', 'PARTIAL', 'UNFINISHED', 'CORRUPT', 'OTHER'],
    row('from the guest', vif.incoming),
    row('to the guest', vif.outgoing),
    ...(uplink
      ? [row(`into ${uplink.name}`, uplink.traffic.incoming), row(`out of ${uplink.name}`, uplink.traffic.outgoing)]
      : []),
  ];
  const [heading = '', ...body] = table(rows, [1, 2, 3, 4, 5]);
  return [style.quiet(heading), ...body];
}
