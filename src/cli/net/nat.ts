/** `xenctrl net nat`: a capture as it is beyond an address translation. */

import { parseNetwork } from '../../net/address.js';
import { Nat, type NatOptions } from '../../net/nat/nat.js';
import { isDropped, NAT_OUTCOMES } from '../../net/nat/outcome.js';
import { PORT_SELECTIONS, type PortSelection } from '../../net/nat/ports.js';
import type { PortRange } from '../../net/nat/rules.js';
import type { Command, Context, Outcome } from '../command.js';
import { EXIT_FAILED, EXIT_OK, UsageError } from '../exit.js';
import type { ParsedOptions } from '../options.js';
import { beside, rewriteCaptureFile } from './captures.js';
import { reasonLines } from './text.js';

export const nat: Command = {
  name: 'nat',
  summary: 'translate the addresses of a capture, and complete partial checksums',
  description: [
    'Reads IN and writes OUT as it is behind a NAT: packets from the network to elsewhere have its address, answers to it find their way back. Full checksums follow addresses and ports; partial ones follow the addresses, in whose sum no ports are, and are then completed. Packets that cannot be translated stay as they are, are counted, and make the exit code 1.',
    'Ports stay unless another connection has them. They are chosen as Linux does today, with random numbers that follow from --seed, or as it did in 2005.',
  ],
  operands: [{ name: 'IN' }, { name: 'OUT' }],
  options: [
    {
      name: 'snat',
      value: 'ADDRESS[:MIN-MAX]',
      help: 'what to hide behind, and ports to use; [ADDRESS]:MIN-MAX for IPv6',
    },
    { name: 'net', value: 'CIDR', help: 'the network that is hidden' },
    { name: 'ports', value: 'RULES', values: PORT_SELECTIONS, help: 'how ports are chosen; default linux-6' },
    { name: 'seed', value: 'N', help: 'what random ports follow from; default 0' },
    { name: 'max-connections', value: 'N', help: 'connections to remember at most; default 4194304' },
    { name: 'no-finish', help: 'leave partial checksums partial' },
    {
      name: 'historic',
      value: 'DAY',
      values: ['2005-10-14'],
      help: 'the patch to Xen of that day, which is wrong whenever a port changes',
    },
  ],
  examples: [
    ['net nat vif1.0.pcap eth0.pcap --snat 192.0.2.1 --net 10.0.0.0/8', 'what dom0 sends of it'],
    ['net nat in.pcap out.pcap --snat 192.0.2.1:20000-29999 --net 10.0.1.0/24 --json', 'with ports of a range'],
  ],
  run: async (context): Promise<Outcome> => {
    const { operands, options } = context;
    const [input = '', output = ''] = operands;
    using translation = openNat(options);
    const { packets } = await rewriteCaptureFile(context, [input, output], {
      scan: (...args) => translation.translateNext(...args),
      work: () => {},
    });
    return report(context, packets, translation);
  },
};

function report(context: Context, packets: number, { outcomes, partial, connections, reasons }: Nat): Outcome {
  const { translated, untouched } = outcomes;
  const left = NAT_OUTCOMES.filter((outcome) => isDropped(outcome) && outcomes[outcome] > 0);
  const fixed = context.options.has('no-finish') ? 0 : partial;
  const failed = Object.fromEntries(left.map((outcome) => [outcome, outcomes[outcome]]));
  return beside(context, {
    json: { packets, translated, fixed, untouched, failed, connections },
    text: (style) => [
      `${style.good('translated')}  ${translated} of ${packets} packets, ${connections} connections`,
      `partial checksums completed: ${fixed}`,
      ...(untouched > 0 ? [`about other networks, untouched: ${untouched}`] : []),
      ...left.map((outcome) => `${style.bad(outcome)}  ${outcomes[outcome]}, left as they are`),
      ...reasonLines(style, reasons),
    ],
    // what nobody could parse may have had nothing to do with the network
    code: left.some((outcome) => outcome !== 'refused') ? EXIT_FAILED : EXIT_OK,
  });
}

function openNat(options: ParsedOptions): Nat {
  const snat = options.get('snat');
  const source = options.get('net');
  if (snat === undefined) throw new UsageError('--snat ADDRESS[:MIN-MAX] is missing: what to hide behind');
  if (source === undefined) throw new UsageError('--net CIDR is missing: the network to hide');
  const historic = options.get('historic');
  const all: NatOptions = {
    rules: [{ kind: 'snat', source: checked('--net', source, () => void parseNetwork(source)), ...parseTo(snat) }],
    seed: parseNumber(options, 'seed', 0, 0xffffffff),
    maxConnections: parseNumber(options, 'max-connections', 4194304, 4194304),
    portSelection: (options.get('ports') ?? 'linux-6') as PortSelection,
    finish: !options.has('no-finish'),
    ...(historic === undefined ? {} : { historic: '2005-10-14' as const }),
  };
  try {
    return new Nat(all);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function checked(option: string, text: string, check: () => void): string {
  try {
    check();
    return text;
  } catch (error) {
    throw new UsageError(`${option}: ${(error as Error).message}`);
  }
}

/** `192.0.2.1`, `192.0.2.1:1000-2000`, `192.0.2.1:1000`, `2001:db8::1`, `[2001:db8::1]:1000-2000`. */
function parseTo(text: string): { readonly to: string; readonly ports?: PortRange } {
  const [, bracketed, plain, min, max] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+)(?:-(\d+))?)?$/.exec(text) ?? [];
  const to = bracketed ?? plain ?? text;
  if (min === undefined) return { to };
  return { to, ports: { min: Number(min), max: Number(max ?? min) } };
}

function parseNumber(options: ParsedOptions, name: string, otherwise: number, highest: number): number {
  const text = options.get(name);
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > highest)
    throw new UsageError(`--${name} must be a number up to ${highest}, not '${text}'`);
  return value;
}
