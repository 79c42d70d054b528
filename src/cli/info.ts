/** `xenctrl info`: Xen and the host. */

import { diagnoseAltp2m } from '../xc/altp2m_diagnose.js';
import type { XenInfo } from '../xen/xen.js';
import type { Command, Outcome } from './command.js';
import { XEN_OPTIONS } from './option_list.js';
import { type ReleaseStatus, releaseStatus } from './release.js';
import { onXen, type Session } from './session.js';
import { type Style, table, wrap } from './style.js';

const MIB_PAGES = 256;

/** What is told beside {@link XenInfo}. */
interface Facts {
  readonly backend: string;
  readonly status: ReleaseStatus;
  readonly altp2m: boolean | null;
  readonly domains: number;
}

function features({ physical: { capabilities } }: XenInfo): string[] {
  return Object.entries(capabilities).flatMap(([name, on]) => (on === true ? [name] : []));
}

function rows(info: XenInfo, facts: Facts, style: Style): [string, string][] {
  const { physical, compile } = info;
  const cores = `cores a socket: ${physical.cores_per_socket}, threads a core: ${physical.threads_per_core}`;
  return [
    ['Xen', `${style.heading(info.version.text)}  ${style.quiet(facts.status.text)}`],
    ['Reached by', facts.backend],
    ['Boot options', info.commandLine],
    ['Guests', info.capabilities.join(' ')],
    ['Changeset', info.changeset || '-'],
    ['Built', `${compile.compile_date} by ${compile.compile_by}@${compile.compile_domain} with ${compile.compiler}`],
    ['Processors', `${physical.nr_cpus} at ${Math.round(physical.cpu_khz / 1000)} MHz; ${cores}`],
    ['NUMA nodes', String(physical.nr_nodes)],
    ['Memory', `${mib(physical.total_pages)} MiB, ${mib(physical.free_pages)} MiB of it free`],
    ['Abilities', features(info).join(' ')],
    ['Domains', String(facts.domains)],
  ];
}

function mib(pages: number): string {
  return Math.floor(pages / MIB_PAGES).toLocaleString('en');
}

function showInfo({ xen }: Session): Outcome {
  const info = xen.info();
  const altp2m = diagnoseAltp2m(xen.xch).prerequisites.find(({ name }) => name === 'hypervisor-altp2m');
  const facts: Facts = {
    backend: xen.kind,
    status: releaseStatus(xen.xch),
    altp2m: altp2m?.ok ?? null,
    domains: xen.list().length,
  };
  const { text, ...numbers } = info.version;
  return {
    json: {
      ...info,
      version: text,
      ...numbers,
      support: facts.status.support,
      backend: facts.backend,
      altp2m: facts.altp2m,
      domains: facts.domains,
    },
    text: (style, columns) => {
      const all = [...rows(info, facts, style), ['altp2m', altp2mText(facts.altp2m, style)] as const];
      return table(all.map(([name, value]) => [style.quiet(name), value])).flatMap((line) => wrapRow(line, columns));
    },
  };
}

function altp2mText(altp2m: boolean | null, style: Style): string {
  if (altp2m === null) return 'not told';
  return altp2m ? style.good('yes') : `${style.bad('no')} ${style.quiet('(`xenctrl doctor` tells why)')}`;
}

/** Continues a long value under itself. */
function wrapRow(line: string, columns: number): string[] {
  const [first = '', ...more] = wrap(line, columns);
  return [first, ...more.flatMap((rest) => wrap(rest, columns, ' '.repeat(14)))];
}

export const info: Command = {
  name: 'info',
  summary: 'tell about Xen and the host',
  options: XEN_OPTIONS,
  examples: [
    ['info', 'version, boot options, processors, memory, abilities'],
    ['info --json | jq .physical.free_pages', 'free memory in pages of 4 KiB'],
  ],
  run: (context) => onXen(context, showInfo),
};
