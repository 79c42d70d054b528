/** `xenctrl altp2m access`: asks for the access of frames in a view, or sets it. */

import { ACCESS_NAMES } from '../../xen/access.js';
import type { View } from '../../xen/view.js';
import type { Command, Context, Outcome } from '../command.js';
import { FORCE, XEN_OPTIONS } from '../option_list.js';
import { onXen } from '../session.js';
import { type Style, table } from '../style.js';
import {
  changing,
  DOMAIN,
  demandView,
  done,
  hex,
  operand,
  readAccess,
  readFrames,
  readView,
  VIEW,
} from './operands.js';

interface FrameAccess {
  readonly gfn: number;
  /** Null: the view has no entry for the frame. */
  readonly access: string | number | null;
}

/** Consecutive frames with the same access as one row. */
function rows(frames: readonly FrameAccess[], style: Style): string[][] {
  const runs: { first: number; last: number; access: FrameAccess['access'] }[] = [];
  for (const { gfn, access } of frames) {
    const run = runs.at(-1);
    if (run && run.last + 1 === gfn && run.access === access) run.last = gfn;
    else runs.push({ first: gfn, last: gfn, access });
  }
  return runs.map(({ first, last, access }) => [
    first === last ? hex(first) : `${hex(first)}-${hex(last)}`,
    access === null ? style.quiet('not in the view yet: it follows the host') : String(access),
  ]);
}

function ask(context: Context, frames: readonly number[]): Promise<Outcome> {
  const index = readView(context);
  return onXen(context, (session) => {
    const domain = session.domain(operand(context, 0));
    demandView({ session, domain }, index);
    const view = domain.altp2m.view(index);
    const { defaultAccess } = view;
    const found = frames.map((gfn): FrameAccess => ({ gfn, access: view.getAccess(gfn) }));
    return {
      json: { domid: domain.domid, view: index, defaultAccess, frames: found },
      text: (style) =>
        table([
          ['FRAMES', 'ACCESS'].map(style.heading),
          ...rows(found, style),
          ['others', `${defaultAccess} once the guest touches them`],
        ]),
    };
  });
}

async function setMany(
  view: View,
  frames: readonly number[],
  access: (typeof ACCESS_NAMES)[number],
  context: Context,
): Promise<void> {
  const onProgress = (count: number, total: number): void => context.progress(`${count} of ${total} frames`);
  try {
    await view.setAccessOfAsync(frames, access, { signal: context.signal, onProgress });
  } finally {
    context.progress('');
  }
}

function set(context: Context, frames: readonly number[], name: string): Promise<Outcome> {
  const index = readView(context);
  const access = readAccess(name, 'ACCESS');
  return changing(context, async (target) => {
    const { altp2m, domid } = target.domain;
    demandView(target, index);
    const view = altp2m.view(index);
    const [only] = frames;
    if (frames.length === 1 && only !== undefined) view.setAccess(only, access);
    else await setMany(view, frames, access, context);
    const what = frames.length === 1 && only !== undefined ? `frame ${hex(only)}` : `${frames.length} frames`;
    return done(`${what} of view ${index} of domain ${domid}: ${access}`, {
      domid,
      view: index,
      frames: frames.length,
      access,
    });
  });
}

export const access: Command = {
  name: 'access',
  summary: 'tell or set what the guest may do with frames in a view',
  description: [
    'FRAMES is a frame (0x40), a range (0x40-0x4f), or a list of both with commas. Without ACCESS it is told. Frames without ordinary memory are skipped, as Xen does. View 0 is the memory as the host sees it.',
  ],
  operands: [DOMAIN, VIEW, { name: 'FRAMES' }, { name: 'ACCESS', optional: true, values: ACCESS_NAMES }],
  options: [...XEN_OPTIONS, FORCE],
  examples: [
    ['altp2m access 1 2 0x40-0x4f rx', 'writes to 16 frames are violations in view 2'],
    ['altp2m access 1 2 0x40', 'what is it now?'],
  ],
  run: (context) => {
    const frames = readFrames(operand(context, 2), 'FRAMES');
    const name = context.operands[3];
    return name === undefined ? ask(context, frames) : set(context, frames, name);
  },
};
