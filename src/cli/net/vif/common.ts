/** What the commands about vifs have in common. */

import { errno } from '../../../abi/errno.js';
import { NetDeviceError } from '../../../net/link/error.js';
import { checkInterface } from '../../../net/link/open.js';
import type { Device } from '../../../net/vif/switches.js';
import { isXenstoreError, XenstoreError } from '../../../xenstore/error.js';
import { Xenstore } from '../../../xenstore/xenstore.js';
import type { Context, Option } from '../../command.js';
import { CommandError, UsageError } from '../../exit.js';

export const NETNS: Option = {
  name: 'netns',
  value: 'NAME',
  help: 'the network namespace that it is in: a name of `ip netns`, or a path',
};
export const XENSTORE: Option = {
  name: 'xenstore',
  value: 'PATH',
  help: "xenstored's socket or device (default: where it is)",
};
export const JOURNAL_OPTION: Option = {
  name: 'journal',
  value: 'FILE',
  help: 'where changes are noted, to be undone (default /var/lib/xenctrl/vif-journal.json)',
};

export function readDevice(name: string, { options }: Context): Device {
  try {
    checkInterface(name);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  const netns = readNetns(options.get('netns'));
  return netns === undefined ? { name } : { name, netns };
}

export function readNetns(given: string | undefined): string | undefined {
  if (given === undefined) return undefined;
  return given.includes('/') ? given : `/run/netns/${given}`;
}

/** The daemon; null where there is none, and nobody asked for one by name. */
export async function openXenstore({ options }: Context): Promise<Xenstore | null> {
  const path = options.get('xenstore');
  try {
    return await Xenstore.open(path === undefined ? {} : { path });
  } catch (error) {
    if (path === undefined && isXenstoreError(error, 'ENOENT')) return null;
    throw error;
  }
}

/** A number of seconds. */
export function readSeconds(given: string | undefined, option: string): number | undefined {
  if (given === undefined) return undefined;
  const seconds = Number(given);
  if (!(seconds > 0 && seconds <= 1e6)) throw new UsageError(`${option} must be a number of seconds, not '${given}'`);
  return seconds;
}

/** Fires after so many seconds, and when the command is to stop. */
export function forSeconds(seconds: number | undefined, signal: AbortSignal): AbortSignal {
  if (seconds === undefined) return signal;
  // not AbortSignal.any() of a timeout: Node 20's collector may take that away before it fires
  const over = new AbortController();
  const end = (): void => {
    clearTimeout(timer);
    over.abort();
  };
  const timer = setTimeout(end, seconds * 1000);
  timer.unref(); // what waits for it has something open
  signal.addEventListener('abort', end);
  if (signal.aborted) end();
  return over.signal;
}

/** Errors of the kernel's and of xenstored's as the command's own, with the next step. */
export async function explained<Result>(run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof NetDeviceError) {
      const next = error.errno === -errno.ENODEV ? '`ip link` lists the interfaces' : undefined;
      throw new CommandError(error.code, error.message, next);
    }
    if (error instanceof XenstoreError) throw new CommandError(error.code, error.message);
    throw error;
  }
}
