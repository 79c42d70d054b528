/** `xenctrl topology`: the host's processors and memory nodes. */

import { type CpuTopology, type NumaNode, xc_cputopoinfo, xc_getcpuinfo, xc_numainfo } from '../xc/topology.js';
import type { Command, Outcome } from './command.js';
import { XEN_OPTIONS } from './option_list.js';
import { onXen, type Session } from './session.js';
import { type Style, table } from './style.js';

interface Cpu extends CpuTopology {
  readonly cpu: number;
  readonly idleSeconds: number;
}

const mib = (bytes: bigint): string => (bytes >> 20n).toLocaleString('en');

function cpuTable(cpus: readonly Cpu[], style: Style): string[] {
  const rows = cpus.map(({ cpu, core, socket, node, idleSeconds }) =>
    [cpu, core, socket, node ?? '-', idleSeconds.toFixed(1)].map(String),
  );
  return table([['CPU', 'CORE', 'SOCKET', 'NODE', 'IDLE SECONDS'].map(style.heading), ...rows], [0, 1, 2, 3, 4]);
}

function nodeTable(nodes: readonly (NumaNode | null)[], style: Style): string[] {
  const rows = nodes.flatMap((node, id) =>
    node ? [[String(id), mib(node.memsize), mib(node.memfree), node.distance.map((far) => far ?? '-').join(' ')]] : [],
  );
  return table([['NODE', 'MIB', 'FREE MIB', 'DISTANCES'].map(style.heading), ...rows], [0, 1, 2]);
}

function tell({ xen: { xch } }: Session): Outcome {
  const places = xc_cputopoinfo(xch);
  const idle = xc_getcpuinfo(xch, places.length);
  const cpus = places.flatMap((place, cpu) =>
    place ? [{ cpu, ...place, idleSeconds: Number(idle[cpu]?.idletime ?? 0n) / 1e9 }] : [],
  );
  const nodes = xc_numainfo(xch);
  return {
    json: {
      cpus,
      nodes: nodes.map((node) => node && { ...node, memsize: Number(node.memsize), memfree: Number(node.memfree) }),
    },
    text: (style) => [...cpuTable(cpus, style), '', ...nodeTable(nodes, style)],
  };
}

export const topology: Command = {
  name: 'topology',
  summary: "tell where the host's processors and memory are",
  options: XEN_OPTIONS,
  examples: [
    ['topology', 'processors by socket and core, memory by node'],
    ['topology --json | jq ".cpus | length"', 'how many are online?'],
  ],
  run: (context) => onXen(context, tell),
};
