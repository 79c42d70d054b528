/** `xenctrl net forward`: a user-space dom0 that routes between two interfaces and hides the guest behind its address. */

import type { EspConfig } from '../../net/esp/config.js';
import { NATT_PORT } from '../../net/esp/outer.js';
import { EspTunnel } from '../../net/esp/tunnel.js';
import { Forwarder, type ForwarderCounters } from '../../net/forward/forwarder.js';
import type { ChecksumWork } from '../../net/forward/router.js';
import type { SideOptions } from '../../net/forward/side.js';
import { PacketSocket } from '../../net/link/open.js';
import { Nat } from '../../net/nat/nat.js';
import type { PortRange } from '../../net/nat/rules.js';
import type { Command, Context, Outcome } from '../command.js';
import { UsageError } from '../exit.js';
import { type Style, table } from '../style.js';
import { readConfig } from './esp/tunnel_file.js';
import { explained, forSeconds, NETNS, readNetns, readSeconds } from './vif/common.js';

const DRAW_MS = 500;

export const forward: Command = {
  name: 'forward',
  summary: "route and translate between a guest's interface and the network, in user space",
  description: [
    'INSIDE and OUTSIDE are interfaces with the addresses that this router has there: vif1.0=10.0.1.1/24. The kernel must not have them, or it answers, too. What comes from the network of INSIDE leaves with the address of OUTSIDE. Partial checksums are updated as such and completed, large frames are cut up; --checksums hand-on leaves both to the outer device. Who sends what is too long and may not be cut up is told by ICMP what would fit. IPv4.',
    '--historic makes the mistakes of October 2005 (2005-10-14: ports counted into partial checksums; 2.6.12: partial checksums taken for complete ones), to be seen on real peers.',
  ],
  operands: [{ name: 'INSIDE' }, { name: 'OUTSIDE' }],
  options: [
    { name: 'gateway', value: 'IP', help: 'who has what is not of the network of OUTSIDE' },
    { name: 'ports', value: 'MIN-MAX', help: 'give connections ports from here' },
    {
      name: 'checksums',
      value: 'HOW',
      values: ['finish', 'hand-on'],
      help: 'what is done about partial checksums (default finish)',
    },
    { name: 'historic', value: 'WHEN', values: ['2005-10-14', '2.6.12'], help: 'make the mistake of that day' },
    {
      name: 'esp',
      value: 'FILE',
      help: 'instead of translating, put all into the ESP tunnel that FILE describes (docs/esp.md)',
    },
    { name: 'seconds', value: 'N', help: 'end after so long' },
    NETNS,
  ],
  examples: [
    ['net forward vif1.0=10.0.1.1/24 eth1=192.0.2.1/24 --gateway 192.0.2.254', 'until Ctrl-C'],
    ['net forward vif1.0=10.0.1.1/24 eth1=192.0.2.1/24 --ports 20000-29999 --json', 'counts at the end'],
  ],
  run: (context): Promise<Outcome> => explained(() => run(context)),
};

async function run(context: Context): Promise<Outcome> {
  const { operands, options, signal } = context;
  const netns = readNetns(options.get('netns'));
  const [inside, outside] = operands.map((operand) => readSide(operand));
  if (!inside || !outside) throw new UsageError('INSIDE and OUTSIDE are missing');
  const gateway = options.get('gateway');
  const historic = options.get('historic');
  const until = forSeconds(readSeconds(options.get('seconds'), '--seconds'), signal);
  const routing = {
    inside: inside.side,
    outside: gateway === undefined ? outside.side : { ...outside.side, gateway },
    checksums: (options.get('checksums') ?? 'finish') as ChecksumWork,
    takePartialForComplete: historic === '2.6.12',
  };
  using nat = checked(() => makeNat(inside.side, outside.side, readPorts(options.get('ports')), historic));
  const file = options.get('esp');
  const config = file === undefined ? null : readConfig(file);
  using esp = config && checked(() => new EspTunnel({ ...config, device: inside.name }));
  const way = esp && config ? { nat: null, tunnel: { remote: config.remote, ...natTPort(config), esp } } : { nat };
  const where = netns === undefined ? {} : { netns };
  using insideLink = PacketSocket.open(inside.name, { ...where, promiscuous: true });
  using outsideLink = PacketSocket.open(outside.name, { ...where, promiscuous: true });
  const forwarder = checked(() => new Forwarder(insideLink, outsideLink, { ...routing, ...way }));
  context.note(`forwarding between ${inside.name} and ${outside.name}; Ctrl-C ends it`);
  const told = (): Told => ({
    ...forwarder.counters,
    connections: nat.connections,
    ...(esp ? { sequence: String(esp.sequence) } : {}),
  });
  const draw = (): void => context.live?.((style) => lines(told(), style));
  const timer = setInterval(draw, DRAW_MS);
  try {
    await forwarder.run(until);
  } finally {
    clearInterval(timer);
  }
  return { json: told(), text: (style) => lines(told(), style) };
}

interface Told extends ForwarderCounters {
  readonly connections: number;
  /** The tunnel's last sequence number: what `outbound.sequence` is to be when it goes on with the same keys. */
  readonly sequence?: string;
}

function natTPort({ natT }: EspConfig): { natTPort?: number } {
  return natT ? { natTPort: natT.localPort ?? NATT_PORT } : {};
}

function makeNat(
  inside: SideOptions,
  outside: SideOptions,
  ports: PortRange | null,
  historic: string | undefined,
): Nat {
  const [address = ''] = outside.address.split('/');
  return new Nat({
    rules: [{ kind: 'snat', source: inside.address, to: address, ...(ports ? { ports } : {}) }],
    finish: false,
    ...(historic === '2005-10-14' ? { historic } : {}),
  });
}

function readSide(operand: string): { name: string; side: SideOptions } {
  const [, name, address] = /^([^=]+)=([\d.]+\/\d+)$/.exec(operand) ?? [];
  if (name !== undefined && address !== undefined) return { name, side: { address } };
  throw new UsageError(`'${operand}' is no interface with its address: vif1.0=10.0.1.1/24 is one`);
}

function readPorts(text: string | undefined): PortRange | null {
  if (text === undefined) return null;
  const [, min, max] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  if (min === undefined || max === undefined) throw new UsageError(`--ports must be MIN-MAX, not '${text}'`);
  return { min: Number(min), max: Number(max) };
}

/** What is wrong with an address or a range is the command line's fault. */
function checked<Result>(make: () => Result): Result {
  try {
    return make();
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) throw new UsageError(error.message);
    throw error;
  }
}

function lines({ dropped, refused, kernelDrops, ...counts }: Told, style: Style): string[] {
  const reasons = Object.entries({
    ...dropped,
    ...refused,
    ...(kernelDrops > 0 ? { 'too fast for us': kernelDrops } : {}),
  });
  const rows = Object.entries(counts).map(([what, count]) => [what, String(count)]);
  return [...table(rows, [1]), ...reasons.map(([reason, count]) => `${style.warning('dropped')}  ${reason}: ${count}`)];
}
