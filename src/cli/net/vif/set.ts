/** `xenctrl net vif set` and `undo`: changing what an end leaves to the other. */

import { OFFLOADS, type OffloadName } from '../../../net/link/features.js';
import { JOURNAL, VifJournal } from '../../../net/vif/journal.js';
import { setVif, VifSetError } from '../../../net/vif/set.js';
import { kernelSwitches } from '../../../net/vif/switches.js';
import { vethPeer } from '../../../net/vif/veth.js';
import type { Command, Context, Outcome } from '../../command.js';
import { CommandError } from '../../exit.js';
import { explained, JOURNAL_OPTION, NETNS, openXenstore, readDevice, XENSTORE } from './common.js';

const NAMES = Object.keys(OFFLOADS) as OffloadName[];

export const set: Command = {
  name: 'set',
  summary: "switch a vif's offload on or off; what was there before is noted",
  description: [
    "VIF is dom0's interface. At dom0's end (the default) it is the switch that `ethtool -K` has, and counts at once: with tx off, dom0 completes checksums before the guest gets them. At the guest's end that is so, too, where the guest is a network namespace of this machine. Where it is a domain, dom0 can only forbid it to leave checksums (tx): a key in xenstore, which counts when the vif is connected again, and which Linux guests do not look at.",
  ],
  operands: [{ name: 'VIF' }, { name: 'OFFLOAD', values: NAMES }, { name: 'STATE', values: ['on', 'off'] }],
  options: [
    { name: 'end', value: 'END', values: ['dom0', 'guest'], help: 'whose end (default dom0)' },
    NETNS,
    XENSTORE,
    JOURNAL_OPTION,
  ],
  examples: [
    ['net vif set vif1.0 tx off', 'dom0 completes the checksums of what it gives to the guest'],
    ['net vif set vif1.0 tx off --end guest', 'the guest is to complete the checksums of what it sends'],
    ['net vif undo', 'as it was before'],
  ],
  run: (context): Promise<Outcome> => explained(() => runSet(context)),
};

export const undo: Command = {
  name: 'undo',
  summary: 'put back what the last `set` changed',
  options: [{ name: 'all', help: 'all that is noted, the latest first' }, XENSTORE, JOURNAL_OPTION],
  examples: [['net vif undo --all', 'as it was before the first change']],
  run: (context): Promise<Outcome> => explained(() => runUndo(context)),
};

async function runSet(context: Context): Promise<Outcome> {
  const { operands, options } = context;
  const [name = '', offload = '', state = ''] = operands;
  const guest = options.get('end') === 'guest';
  const device = readDevice(name, context);
  using store = await openXenstore(context);
  const journal = new VifJournal(options.get('journal') ?? JOURNAL);
  const request = {
    device,
    end: guest ? 'guest' : 'dom0',
    offload: offload as OffloadName,
    on: state === 'on',
  } as const;
  try {
    const result = await setVif(request, { store, switches: kernelSwitches, peer: vethPeer, journal });
    const { device: changed, key, reconnect } = result;
    return {
      json: result,
      text: (style) => [
        changed
          ? `${style.good('switched')}  ${offload} of ${changed.name}${changed.netns ? ` in ${changed.netns}` : ''} is ${state}`
          : `${style.good('written')}  ${key} = ${request.on ? 0 : 1}`,
        ...(reconnect
          ? [
              style.warning(
                'it counts when the vif is connected again: xl network-detach and network-attach, or a reboot of the guest',
              ),
              style.warning('a Linux guest does not look at it, and leaves its IPv4 checksums all the same'),
            ]
          : []),
        style.quiet('`xenctrl net vif undo` puts it back'),
      ],
    };
  } catch (error) {
    if (error instanceof VifSetError) throw new CommandError('ENOENT', error.message);
    throw error;
  }
}

async function runUndo(context: Context): Promise<Outcome> {
  const { options } = context;
  const journal = new VifJournal(options.get('journal') ?? JOURNAL);
  using store = await openXenstore(context);
  const undone: string[] = [];
  do {
    const entry = await journal.undo(kernelSwitches, store);
    if (!entry) break;
    undone.push(entry.what);
  } while (options.has('all'));
  if (undone.length === 0) throw new CommandError('ENOENT', 'nothing is noted that could be undone');
  return { json: { undone }, text: (style) => undone.map((what) => `${style.good('undone')}  ${what}`) };
}
