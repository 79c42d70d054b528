/** `xenctrl altp2m status`: everything that Xen tells about a domain's views, without changing any of it. */

import { XenError } from '../../hypervisor/error.js';
import type { Domain } from '../../xen/domain.js';
import type { Command, Context, Outcome } from '../command.js';
import { XEN_OPTIONS } from '../option_list.js';
import { onXen, type Session } from '../session.js';
import { type Style, table, wrap } from '../style.js';
import { DOMAIN, operand } from './operands.js';

interface Status {
  readonly domid: number;
  readonly uuid: string;
  readonly name: string | null;
  readonly mode: string | null;
  readonly enabled: boolean;
  /** Why it is not on, where that is known. */
  readonly reason: string | null;
  readonly vcpus: readonly { readonly vcpu: number; readonly view: number }[];
  readonly views: readonly {
    readonly view: number;
    readonly defaultAccess: string | number;
    /** Xen has no call that tells. */
    readonly visible: boolean | null;
    readonly vcpus: readonly number[];
  }[];
}

/** What Xen answers, or the reason why it does not. */
function ask<T>(question: () => T): { readonly answer: T } | { readonly error: XenError } {
  try {
    return { answer: question() };
  } catch (error) {
    if (error instanceof XenError && (error.code === 'EOPNOTSUPP' || error.code === 'EINVAL')) return { error };
    throw error;
  }
}

function statusOf(session: Session, domain: Domain): Status {
  const { altp2m, domid, uuid } = domain;
  const mode = ask(() => altp2m.mode);
  const enabled = ask(() => altp2m.enabled);
  const on = 'answer' in enabled && enabled.answer;
  const places = on ? altp2m.viewOfEach() : [];
  return {
    domid,
    uuid,
    name: session.nameOf(uuid),
    mode: 'answer' in mode ? mode.answer : null,
    enabled: on,
    reason: 'error' in enabled ? (enabled.error.hint ?? enabled.error.code) : null,
    vcpus: places.map((view, vcpu) => ({ vcpu, view })),
    views: (on ? altp2m.views() : []).map((view) => ({
      view: view.index,
      defaultAccess: view.defaultAccess,
      visible: view.visible,
      vcpus: places.flatMap((place, vcpu) => (place === view.index ? [vcpu] : [])),
    })),
  };
}

const MODES: Readonly<Record<string, string>> = {
  mixed: 'the guest may use altp2m itself, so that hiding a view protects nothing',
  external: 'only dom0 may use altp2m',
  limited: 'only dom0 may use altp2m; the guest may set up its own #VE pages',
  disabled: 'nobody may use altp2m',
};

function lines(status: Status, style: Style, columns: number): string[] {
  const { domid, name, uuid, mode, enabled, reason } = status;
  const head = `${style.heading(`Domain ${domid}`)}${name === null ? '' : ` ${name}`}  ${style.quiet(uuid)}`;
  const facts = [
    ['altp2m', enabled ? style.good('on') : style.warning('off')],
    ['mode', mode === null ? '-' : `${mode}: ${MODES[mode] ?? ''}`],
  ].map(([what = '', is = '']) => [style.quiet(what), is]);
  const text = [head, ...table(facts).flatMap((line) => wrap(line, columns))];
  if (reason !== null) text.push('', ...wrap(`Why it is off: ${reason}`, columns), ...nextStep(status, style));
  else if (!enabled) text.push('', `${style.literal(`xenctrl altp2m enable ${domid}`)} switches it on`);
  else text.push('', ...viewTable(status, style));
  return text;
}

function nextStep({ domid }: Status, style: Style): string[] {
  return [`${style.literal(`xenctrl doctor ${domid}`)} tells how to mend it`];
}

function viewTable({ views }: Status, style: Style): string[] {
  const known = (visible: boolean | null): string =>
    visible === null ? style.quiet('not told') : visible ? 'yes' : style.warning('no');
  return table(
    [
      ['VIEW', 'DEFAULT ACCESS', 'VISIBLE', 'VCPUS IN IT'].map(style.heading),
      ...views.map(({ view, defaultAccess, visible, vcpus }) => [
        String(view),
        String(defaultAccess),
        known(visible),
        vcpus.join(' ') || '-',
      ]),
    ],
    [0],
  );
}

export const status: Command = {
  name: 'status',
  summary: "tell about a domain's views: which exist, and in which each vCPU runs",
  description: ['Changes nothing. Whether a view is hidden is "not told": Xen has no call that tells.'],
  operands: [DOMAIN],
  options: XEN_OPTIONS,
  examples: [
    ['altp2m status 1', 'views of domain 1'],
    ['altp2m status 1 --json', 'the same for programs'],
  ],
  run: (context: Context): Promise<Outcome> =>
    onXen(context, (session) => {
      const found = statusOf(session, session.domain(operand(context, 0)));
      return { json: found, text: (style, columns) => lines(found, style, columns) };
    }),
};
