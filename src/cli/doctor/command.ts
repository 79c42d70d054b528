/** `xenctrl doctor`: what this machine offers, and how to get what it lacks. */

import { BackendUnavailableError, XenError } from '../../hypervisor/error.js';
import { backendRefusal } from '../../hypervisor/open.js';
import { diagnoseAltp2m } from '../../xc/altp2m_diagnose.js';
import type { Command, Context, Outcome } from '../command.js';
import { CommandError, EXIT_FAILED, EXIT_NO_XEN, EXIT_OK } from '../exit.js';
import { XEN_OPTIONS } from '../option_list.js';
import type { ParsedOptions } from '../options.js';
import { releaseStatus } from '../release.js';
import { openSession, type Session } from '../session.js';
import { padEnd, type Style, width, wrap } from '../style.js';
import {
  BOOT_OPTION,
  backendChecks,
  type Check,
  type Health,
  machineChecks,
  prerequisiteCheck,
  type Refusals,
} from './checks.js';
import { probe } from './machine.js';
import { type Recipe, recipes } from './recipe.js';

type Verdict = 'ready' | 'incomplete' | 'no-xen';

interface Diagnosis {
  readonly verdict: Verdict;
  /** The Xen that was looked at. */
  readonly backend: string | null;
  readonly release: string | null;
  readonly checks: readonly Check[];
  readonly recipes: readonly Recipe[];
}

const CODES: Readonly<Record<Verdict, number>> = {
  ready: EXIT_OK,
  incomplete: EXIT_FAILED,
  'no-xen': EXIT_NO_XEN,
};

function hostChecks({ xen: { xch, version } }: Session): Check[] {
  const { support, text } = releaseStatus(xch);
  const detail = `${version.text}, ${text}`;
  return [
    { section: 'Xen', name: 'version', health: support === 'full' ? 'ok' : 'note', detail },
    ...diagnoseAltp2m(xch).prerequisites.map((one) => prerequisiteCheck('altp2m on this host', one)),
  ];
}

/** What altp2m needs of a domain: the diagnosis goes on with it after `host` checks, the version's among them. */
function domainChecks(session: Session, target: string, host: number): Check[] {
  const { domid } = session.domain(target);
  const { prerequisites } = diagnoseAltp2m(session.xen.xch, domid);
  return prerequisites.slice(host - 1).map((one) => prerequisiteCheck(`altp2m on domain ${domid}`, one));
}

/** Why no Xen could be opened. */
function unopened(error: unknown): Check {
  if (!(error instanceof BackendUnavailableError) && !(error instanceof XenError)) throw error;
  return { section: 'Xen', name: 'version', health: 'missing', detail: `cannot be asked: ${error.message}` };
}

/** The backend that is asked for, as the library would choose it. */
function askedFor(options: ParsedOptions): string {
  const described = options.get('scenario') ?? options.get('release');
  const environment = process.env['XENCTRL_BACKEND'] || 'auto';
  return options.get('backend') ?? (described === undefined ? environment : 'model');
}

function examine({ options, operands: [target] }: Context): Diagnosis {
  const facts = probe();
  const refusals: Refusals = { privcmd: backendRefusal('privcmd'), libxen: backendRefusal('libxen') };
  const real = refusals.privcmd === null ? 'privcmd' : refusals.libxen === null ? 'libxen' : null;
  const auto = facts.onXen ? real : 'model';
  const machine = [...machineChecks(facts), ...backendChecks(facts, refusals, auto)];
  const asked = askedFor(options);
  // a model that was asked for is looked at like a Xen; one that stands in for a missing Xen is not
  if (asked === 'auto' && auto === 'model') return withoutXen(target, machine);
  let session: Session;
  try {
    session = openSession(options);
  } catch (error) {
    const verdict = facts.onXen ? 'incomplete' : 'no-xen';
    return { verdict, backend: null, release: null, checks: [...machine, unopened(error)], recipes: recipes(null) };
  }
  using opened = session;
  // this machine's own lacks do not concern a model
  return withXen(opened, target, machine, asked === 'model' ? [] : machine);
}

function withoutXen(target: string | undefined, checks: readonly Check[]): Diagnosis {
  if (target !== undefined) {
    const next = '--backend model looks at the guest of a software Xen';
    throw new CommandError('ERR_NO_XEN', `there is no domain ${target}: no Xen runs here`, next, EXIT_NO_XEN);
  }
  return { verdict: 'no-xen', backend: null, release: null, checks, recipes: recipes(null) };
}

function withXen(
  session: Session,
  target: string | undefined,
  machine: readonly Check[],
  concerning: readonly Check[],
): Diagnosis {
  const { kind, xch } = session.xen;
  const release = `${xch.xenVersion.major}.${xch.xenVersion.minor}`;
  const host = hostChecks(session);
  const domain = target === undefined ? [] : domainChecks(session, target, host.length);
  const [boot, config] = recipes(release);
  return {
    verdict: isMissing([...concerning, ...host, ...domain]) ? 'incomplete' : 'ready',
    backend: kind,
    release,
    checks: [...machine, ...host, ...domain],
    recipes: [
      ...(isMissing(host.filter(({ name }) => name === BOOT_OPTION)) ? [boot] : []),
      ...(target === undefined || isMissing(domain) ? [config] : []),
    ],
  };
}

function isMissing(checks: readonly Check[]): boolean {
  return checks.some(({ health }) => health === 'missing');
}

const SIGNS: Readonly<Record<Health, string>> = { ok: '✓', missing: '✗', note: '·', unknown: '?' };

function sign(health: Health, style: Style): string {
  const colour = { ok: style.good, missing: style.bad, note: style.quiet, unknown: style.warning }[health];
  return colour(SIGNS[health]);
}

function checkLines(checks: readonly Check[], style: Style, columns: number): string[] {
  const room = Math.max(...checks.map(({ name }) => width(name)));
  const indent = ' '.repeat(room + 5);
  let section = '';
  return checks.flatMap((check) => {
    const lines = check.section === section ? [] : ['', style.heading(check.section)];
    section = check.section;
    const [first = '', ...rest] = wrap(check.detail, columns, indent);
    lines.push(`  ${sign(check.health, style)} ${padEnd(check.name, room)} ${first.trimStart()}`, ...rest);
    if (check.fix !== undefined) lines.push(...wrap(`→ ${check.fix}`, columns, indent).map(style.warning));
    return lines;
  });
}

const CLOSING: Readonly<Record<Verdict, string>> = {
  ready: 'All is well.',
  incomplete: 'Something is missing: see the lines marked ✗.',
  'no-xen': 'No Xen here. The software model works: `xenctrl demo` shows it, `--backend model` uses it.',
};

function text(diagnosis: Diagnosis, style: Style, columns: number): string[] {
  const { verdict, checks, recipes: all } = diagnosis;
  const [, ...lines] = checkLines(checks, style, columns);
  if (all.length > 0) lines.push('', style.heading('What altp2m needs, to be pasted'));
  for (const { where, lines: what } of all) {
    lines.push(...wrap(`${where}:`, columns, '  '), ...what.map((line) => `    ${style.literal(line)}`));
  }
  const colour = verdict === 'ready' ? style.good : verdict === 'no-xen' ? style.warning : style.bad;
  return [...lines, '', colour(CLOSING[verdict])];
}

export const doctor: Command = {
  name: 'doctor',
  summary: 'tell what this machine offers, and how to get what it lacks',
  description: [
    'Looks at the devices, the native addon, the FFI packages, Xen and its release, and at all that altp2m needs: on the host, and of DOMAIN if one is given. Changes nothing. Exit code: 0 all is well (one of the real backends is enough), 1 something is missing, 3 this machine does not run on Xen (the software model works).',
  ],
  operands: [{ name: 'DOMAIN', optional: true }],
  options: XEN_OPTIONS,
  examples: [
    ['doctor', 'this machine'],
    ['doctor 3', 'and whether altp2m can be used on domain 3'],
    ['doctor --json | jq ".checks[] | select(.health == \\"missing\\")"', 'what is missing, for programs'],
  ],
  run(context): Outcome {
    const diagnosis = examine(context);
    return {
      json: diagnosis,
      text: (style, columns) => text(diagnosis, style, columns),
      code: CODES[diagnosis.verdict],
    };
  },
};
