/** `xenctrl demo`: the story of altp2m views, told by doing it on a software Xen. */

import { isRelease, RELEASES, type Release } from '../../abi/release.js';
import type { Command, Outcome } from '../command.js';
import { EXIT_FAILED, EXIT_OK } from '../exit.js';
import { padEnd, type Style, wrap } from '../style.js';
import { tellStory } from './story.js';
import type { Step } from './teller.js';

const DEFAULT_RELEASE: Release = '4.17';
const INDENT = ' '.repeat(9);

function stepLines(step: Step, room: number, style: Style, columns: number): string[] {
  const who = step.who === 'dom0' ? style.dom0('dom0 ') : style.guest('guest');
  const refused = step.got.startsWith('#') || step.got.startsWith('E');
  const sign = step.ok ? style.good('✓') : style.bad('✗');
  const answer = refused ? style.warning(step.got) : step.got;
  const failed = step.ok ? '' : style.bad(`  expected: ${step.wanted}`);
  const lines = [`${sign} ${who}  ${padEnd(step.call, room)} ${style.quiet('→')} ${answer}${failed}`];
  if (step.why !== '') lines.push(...wrap(step.why, columns, INDENT).map(style.quiet));
  return lines;
}

function transcript(steps: readonly Step[], release: Release, style: Style, columns: number): string[] {
  const lines = [
    style.heading(`altp2m views on a software Xen ${release}`),
    ...wrap(
      'A guest sees its memory through a view, and may have several: each with its own access rights, and its own pages behind the same addresses. VMFUNC, an instruction, switches between them without Xen. Every line below was done and checked just now, in this process; nothing of this machine was touched.',
      columns,
    ),
  ];
  const room = Math.max(...steps.map(({ call }) => call.length));
  let act = '';
  for (const step of steps) {
    if (step.act !== act) lines.push('', style.heading(step.act));
    act = step.act;
    lines.push(...stepLines(step, room, style, columns));
  }
  return [...lines, '', ...closing(steps, style)];
}

function closing(steps: readonly Step[], style: Style): string[] {
  const failed = steps.filter(({ ok }) => !ok).length;
  if (failed > 0) return [style.bad(`${failed} of ${steps.length} steps went otherwise than they do on Xen.`)];
  return [
    `${style.good(`All ${steps.length} steps went as they do on Xen.`)} Next: ${style.literal('xenctrl doctor')} tells what this machine needs to do it for real.`,
  ];
}

export const demo: Command = {
  name: 'demo',
  summary: 'show altp2m views and what hiding one does, on any machine',
  description: [
    'Each step is done on a software Xen inside this command and checked: exit code 1 if one goes otherwise than on Xen.',
  ],
  options: [
    {
      name: 'release',
      value: 'X.YY',
      values: RELEASES,
      help: `which release to behave as (default ${DEFAULT_RELEASE})`,
    },
  ],
  examples: [
    ['demo', 'the story'],
    ['demo --release 4.22 --json | jq ".steps[].call"', 'its calls'],
  ],
  run({ options }): Outcome {
    const wanted = options.get('release') ?? DEFAULT_RELEASE;
    const release = isRelease(wanted) ? wanted : DEFAULT_RELEASE;
    const steps = tellStory(release);
    const ok = steps.every((step) => step.ok);
    return {
      json: { ok, release, steps },
      text: (style, columns) => transcript(steps, release, style, columns),
      code: ok ? EXIT_OK : EXIT_FAILED,
    };
  },
};
