/** `xenctrl monitor`: what a domain does, as it happens. */

import { setTimeout } from 'node:timers/promises';
import { describeEnd } from '../../vmi/monitor/domain_end.js';
import type { MonitorEvent, MonitorReason } from '../../vmi/monitor/event.js';
import type { MonitorSession } from '../../vmi/monitor/session.js';
import type { MonitorSources } from '../../vmi/monitor/sources.js';
import type { Domain } from '../../xen/domain.js';
import { DOMAIN, operand, readNumber } from '../altp2m/operands.js';
import { type Command, type Context, commands, type Outcome } from '../command.js';
import { EXIT_FAILED, EXIT_OK, UsageError } from '../exit.js';
import { XEN_OPTIONS } from '../option_list.js';
import { ParsedOptions } from '../options.js';
import { onSession, onXen } from '../session.js';
import type { Style } from '../style.js';
import { DEMO_EVENTS, DEMO_WATCH, type Demo, openDemo } from './demo.js';
import { EVENT_NAMES, readReasons, readSources } from './sources.js';
import { detailText, Tally } from './tally.js';

const DEFAULT_EVENTS = 'cr3,guest_request';
/** How often the table on a terminal is drawn. */
const DRAW_MS = 250;
/** How long the demo's guest waits for each answer where a table shows what it does. */
const DEMO_PAUSE_MS = 15;

/** What is shown of what comes. */
interface Filter {
  readonly reasons: ReadonlySet<MonitorReason> | null;
  readonly vcpu: number | null;
  readonly count: number;
}

function readFilter({ options }: Context): Filter {
  const [vcpu, count] = [options.get('vcpu'), options.get('count')];
  return {
    reasons: readReasons(options),
    vcpu: vcpu === undefined ? null : readNumber(vcpu, '--vcpu', 0xffff),
    count: count === undefined ? Number.POSITIVE_INFINITY : readNumber(count, '--count', Number.MAX_SAFE_INTEGER),
  };
}

function isShown(event: MonitorEvent, { reasons, vcpu }: Filter): boolean {
  return (reasons === null || reasons.has(event.reason)) && (vcpu === null || event.vcpu === vcpu);
}

function eventLine(event: MonitorEvent, style: Style): string {
  const { reason, vcpu, altp2mIdx } = event;
  const head = `${reason.padEnd(19)} vcpu ${vcpu}  view ${altp2mIdx}`;
  return `${head}  ${style.quiet(`rip 0x${event.regs.rip.toString(16)}`)}  ${detailText(event)}`;
}

/** Shows events until there were enough, the domain or the command ends, or nobody reads any more. */
async function show(
  context: Context,
  session: MonitorSession,
  filter: Filter,
  tally: Tally,
  pause: number,
): Promise<void> {
  const { emit, live } = context;
  for await (const event of session.events()) {
    if (isShown(event, filter)) {
      tally.add(event);
      const told = live !== null || (await emit({ json: event, text: (style) => [eventLine(event, style)] }));
      if (!told || tally.total >= filter.count) return;
    }
    if (pause > 0) await setTimeout(pause);
  }
}

/** The table of a terminal, drawn again and again. */
function drawing({ live }: Context, tally: Tally): Disposable {
  if (!live) return { [Symbol.dispose]: () => {} };
  const draw = (): void => {
    tally.look();
    live((style, columns) => tally.lines(style, columns, true));
  };
  draw();
  const timer = setInterval(draw, DRAW_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function watch(context: Context, domain: Domain, sources: MonitorSources, demo: Demo | null): Promise<Outcome> {
  const { options, signal, live } = context;
  const filter = readFilter(context);
  if (filter.count === 0) throw new UsageError('--count must be 1 or more');
  const recoverFirst = options.has('recover');
  const session = domain.monitor.open({ ...sources, signal, recover: recoverFirst, guard: options.has('guard') });
  const tally = new Tally();
  {
    using _session = session;
    using _guest = demo?.start();
    using _table = drawing(context, tally);
    await show(context, session, filter, tally, demo && live ? DEMO_PAUSE_MS : 0);
  }
  const { end } = session;
  const early = end?.cause === 'shutdown' || end?.cause === 'gone';
  const missing = early && tally.total < filter.count && filter.count !== Number.POSITIVE_INFINITY;
  return {
    json: undefined,
    text: (style, columns) => ['', ...tally.lines(style, columns, false)],
    code: missing ? EXIT_FAILED : EXIT_OK,
    ...(end && early ? { aside: describeEnd(end, domain.domid) } : {}),
  };
}

function run(context: Context): Promise<Outcome> {
  const { options, operands } = context;
  if (!options.has('demo')) {
    if (operands.length === 0) throw new UsageError('DOMAIN is missing', '`xenctrl monitor --demo` needs none');
    const sources = readSources(options, DEFAULT_EVENTS);
    readFilter(context);
    return onXen(context, (session) => watch(context, session.domain(operand(context, 0)), sources, null));
  }
  const clash = XEN_OPTIONS.find((option) => options.has(option.name));
  if (clash) throw new UsageError(`--demo is a software Xen of its own: it does not go with --${clash.name}`);
  const chosen = options.has('events') || options.has('watch');
  const sources = readSources(chosen ? options : DEMO_OPTIONS, '');
  readFilter(context);
  const demo = openDemo();
  return onSession(
    () => demo.session,
    (session) => watch(context, session.domain(operands[0] ?? '1'), sources, demo),
  );
}

/** What the demo watches unless it is told what to. */
const DEMO_OPTIONS = new ParsedOptions(
  new Map([
    ['events', DEMO_EVENTS],
    ['watch', DEMO_WATCH],
  ]),
);

export const monitor: Command = {
  name: 'monitor',
  summary: 'watch what a domain does: memory accesses, registers, CPUID, requests',
  description: [
    'On a terminal a table is kept up to date; else each event is a line. Every event is answered so that the guest does what it would have done anyway. The command ends with the domain, after --count events, or on Ctrl-C, and lets the domain go.',
    `EVENTS are, with commas: ${EVENT_NAMES.join(', ')}. Default: ${DEFAULT_EVENTS}. A domain has one listener at a time.`,
  ],
  operands: [{ ...DOMAIN, optional: true }],
  options: [
    ...XEN_OPTIONS,
    { name: 'demo', help: 'watch a guest of a software Xen that has a lot to do' },
    { name: 'events', value: 'EVENTS', help: 'what to have reported' },
    { name: 'watch', value: 'FRAMES:ACCESS', help: 'frames, or all, and what may be done with them unreported' },
    { name: 'reason', value: 'REASONS', help: 'show only these, with commas' },
    { name: 'vcpu', value: 'N', help: 'show only those of vCPU N' },
    { name: 'count', value: 'N', help: 'end after N events' },
    { name: 'recover', help: 'take the ring from a listener that died' },
    { name: 'guard', help: 'a second process lets the domain go if this one is killed' },
  ],
  commands: commands({
    recover: async () => (await import('./recover.js')).recover,
  }),
  examples: [
    ['monitor --demo', 'try it'],
    ['monitor 3 --events cr3,cpuid', 'process switches and CPUID of domain 3'],
    ['monitor 3 --watch 0x1000-0x10ff:rx --json | jq .gfn', 'which of these frames are written to?'],
    ['monitor recover 3', 'free a domain whose listener was killed'],
  ],
  run,
};
