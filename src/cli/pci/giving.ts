/** What `xenctrl pci plan`, `attach`, `detach` and `recover` do. */

import { formatSbdf } from '../../abi/pci/sbdf.js';
import type { Step } from '../../pci/passthrough/action.js';
import { type Plan, planAttach } from '../../pci/passthrough/plan.js';
import { attach, detach, recover } from '../../pci/passthrough/transaction.js';
import type { Context, Outcome } from '../command.js';
import { EXIT_FAILED, EXIT_OK } from '../exit.js';
import { padEnd, type Style, wrap } from '../style.js';
import { giveAway, onDom0, type Workplace } from './dom0.js';
import { readSbdf } from './source.js';

function planOf({ dom0, session, mounts }: Workplace, { operands: [sbdf = '', domain = ''] }: Context): Plan {
  return planAttach(dom0, readSbdf(sbdf), session.domain(domain).domid, { mounts });
}

/** For JSON. */
function json({ sbdf, domid, refusals, warnings, steps, toolstack }: Plan): Record<string, unknown> {
  return { sbdf: formatSbdf(sbdf), domid, refusals, warnings, steps: steps.map(({ what }) => what), toolstack };
}

function item(mark: string, text: string, columns: number, style: (text: string) => string): string[] {
  const [first = '', ...rest] = wrap(text, columns, ' '.repeat(13));
  return [`  ${style(padEnd(mark, 11))}${first.trimStart()}`, ...rest];
}

function planLines(
  { sbdf, domid, refusals, warnings, steps, toolstack }: Plan,
  style: Style,
  columns: number,
): string[] {
  return [
    style.heading(`${formatSbdf(sbdf)} to domain ${domid}`),
    ...refusals.flatMap((text) => item('refused', text, columns, style.bad)),
    ...warnings.flatMap((text) => item('warning', text, columns, style.warning)),
    ...steps.flatMap(({ what }, i) => item(String(i + 1), what, columns, style.quiet)),
    ...toolstack.flatMap((text) => item('toolstack', text, columns, style.quiet)),
  ];
}

/** A plan as a result: refused is a check that failed. */
function planned(plan: Plan): Outcome {
  return {
    code: plan.refusals.length > 0 ? EXIT_FAILED : EXIT_OK,
    json: json(plan),
    text: (style, columns) => planLines(plan, style, columns),
  };
}

/** Shows each step before it is done. */
function shown(context: Context): (step: Step, way: 'do' | 'undo') => void {
  return ({ what }, way) => context.note(way === 'do' ? what : `take back: ${what}`);
}

export function runPlan(context: Context): Promise<Outcome> {
  return onDom0(context, (place) => planned(planOf(place, context)));
}

export function runAttach(context: Context): Promise<Outcome> {
  return onDom0(context, (place) => {
    const wanted = planOf(place, context);
    if (context.options.has('dry-run')) return planned(wanted);
    attach(place.dom0, wanted, { journal: place.journal, onStep: shown(context) });
    return {
      json: json(wanted),
      text: (style, columns) => [
        style.good(`${formatSbdf(wanted.sbdf)} is domain ${wanted.domid}'s`),
        ...wanted.warnings.flatMap((text) => item('warning', text, columns, style.warning)),
        ...wanted.toolstack.flatMap((text) => item('toolstack', text, columns, style.quiet)),
      ],
    };
  });
}

export function runDetach(context: Context): Promise<Outcome> {
  return onDom0(context, (place) => {
    const sbdf = readSbdf(context.operands[0] ?? '');
    if (context.options.has('demo')) giveAway(place, sbdf);
    detach(place.dom0, sbdf, { journal: place.journal, onStep: shown(context) });
    return { json: { sbdf: formatSbdf(sbdf) }, text: (style) => [style.good(`${formatSbdf(sbdf)} is dom0's again`)] };
  });
}

export function runRecover(context: Context): Promise<Outcome> {
  return onDom0(context, ({ dom0, journal }) => {
    const [named] = context.operands;
    const cut = (sbdf: number): boolean => journal.read(sbdf)?.complete === false;
    const all = named === undefined ? journal.devices().filter(cut) : [readSbdf(named)];
    for (const sbdf of all) recover(dom0, sbdf, { journal, onStep: shown(context) });
    const names = all.map(formatSbdf);
    return {
      json: { recovered: names },
      text: (style) =>
        names.length === 0 ? ['no run was cut off'] : names.map((name) => style.good(`${name} is dom0's again`)),
    };
  });
}
