/** `xenctrl mem processes`: what runs in the guest. */

import { hexAddress } from '../../vmi/address.js';
import { Linux } from '../../vmi/linux.js';
import { Profile } from '../../vmi/profile.js';
import { Windows } from '../../vmi/windows.js';
import type { Command, Context, Outcome } from '../command.js';
import { EXIT_FAILED, UsageError } from '../exit.js';
import { table } from '../style.js';
import { demoProfile } from './demo.js';
import { ABOUT_TARGET, onTarget, TARGET, TARGET_OPTIONS, type Target, unreadable } from './target.js';

/** One process of either system. */
interface Row {
  readonly pid: number;
  readonly ppid: number;
  readonly uid?: number | null;
  readonly name: string;
  readonly cr3: bigint | null;
  readonly address: bigint;
}

function profileOf({ options }: Context): Profile {
  const path = options.get('profile');
  if (path === undefined && options.has('demo')) return Profile.parse(demoProfile());
  if (path === undefined) throw new UsageError('--profile FILE is missing', 'docs/vmi.md tells how profiles are made');
  try {
    return Profile.open(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

async function list({ vmi }: Target, profile: Profile, signal: AbortSignal) {
  if (profile.hasType('_EPROCESS')) {
    const { processes, end } = (await Windows.find(vmi, profile, { signal })).processes();
    return { system: 'Windows', rows: processes as readonly Row[], end };
  }
  const linux = await Linux.find(vmi, profile, { signal });
  const { processes, end } = linux.processes();
  const rows = processes.map(({ comm, ...others }): Row => ({ ...others, name: comm }));
  return { system: linux.banner?.split('\n')[0] ?? 'Linux', rows, end };
}

export const processes: Command = {
  name: 'processes',
  summary: 'list what runs in a guest, Linux or Windows on x86-64, as its kernel has it',
  description: [
    ABOUT_TARGET,
    "A profile says where the kernel has what: an ISF of Volatility 3 for exactly the guest's kernel, as .json or .json.gz (docs/vmi.md). The exit code is 1 when the list does not come to its end.",
  ],
  operands: [TARGET],
  options: [{ name: 'profile', value: 'FILE', help: "the kernel's profile" }, ...TARGET_OPTIONS],
  examples: [
    ['mem processes 1 --profile debian-12.json.gz', 'of a guest'],
    ['mem processes file:guest.lime --profile win10.json', 'of saved memory'],
    ['mem processes 1 --demo', 'try it on a software Xen'],
  ],
  run: (context) => {
    return onTarget(context, async (target): Promise<Outcome> => {
      const profile = profileOf(context);
      const { system, rows, end } = await list(target, profile, context.signal);
      return {
        json: {
          ...target.json,
          system,
          end,
          processes: rows.map(({ address, cr3, ...others }) => ({
            ...others,
            cr3: cr3 === null ? null : hexAddress(cr3),
            address: hexAddress(address),
          })),
        },
        text: (style) => [
          style.quiet(system),
          ...table(
            [
              ['PID', 'PPID', 'UID', 'NAME', 'CR3'].map(style.heading),
              ...rows.map(({ pid, ppid, uid, name, cr3 }) => [
                String(pid),
                String(ppid),
                String(uid ?? '-'),
                name,
                cr3 === null ? style.quiet('kernel') : hexAddress(cr3),
              ]),
            ],
            [0, 1, 2],
          ),
          ...(end === 'complete' ? [] : [`${style.bad('not complete')}  the guest's list ends early: ${end}`]),
        ],
        ...(end === 'complete' ? {} : { code: EXIT_FAILED }),
      };
    });
  },
};
