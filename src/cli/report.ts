/** Saying what went wrong, and what to do next. */

import { BackendUnavailableError, XenError } from '../hypervisor/error.js';
import { CallAbortedError } from '../xc/progress.js';
import { COMMAND_NAMES } from './commands.js';
import { CommandError, EXIT_FAILED, EXIT_NO_XEN, EXIT_USAGE, UsageError } from './exit.js';
import { COMMON, XEN_OPTIONS } from './option_list.js';
import { findCommand } from './options.js';
import type { Output } from './output.js';

/**
 * Reports an error that ended a command; one that is nobody's but this program's shows its stack.
 *
 * @returns the exit code
 */
export function report(error: unknown, args: readonly string[], output: Output): number {
  if (args.includes('--json')) output.json({ error: errorObject(error) });
  output.errorLines((style) => {
    const next = nextStep(error, args);
    return [`${style.bad('xenctrl')}: ${text(error)}`, ...(next === undefined ? [] : [`  ${next}`])];
  });
  if (error instanceof UsageError) return EXIT_USAGE;
  if (error instanceof CommandError) return error.exit;
  return error instanceof BackendUnavailableError ? EXIT_NO_XEN : EXIT_FAILED;
}

const EXPECTED = [UsageError, CommandError, XenError, BackendUnavailableError, CallAbortedError];

function text(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return EXPECTED.some((kind) => error instanceof kind) ? error.message : (error.stack ?? error.message);
}

function nextStep(error: unknown, args: readonly string[]): string | undefined {
  if (error instanceof CommandError) return error.next;
  if (error instanceof BackendUnavailableError) return '`xenctrl doctor` tells what this machine offers';
  return error instanceof UsageError ? (error.next ?? `\`${helpFor(args)}\` explains`) : undefined;
}

/** Commands that have commands below them, and how many levels of them. */
const FAMILIES: ReadonlyMap<string, number> = new Map([
  ['altp2m', 1],
  ['argo', 1],
  ['mem', 1],
  ['monitor', 1],
  ['net', 2],
  ['pci', 1],
  ['v4v', 2],
]);

/** The help that fits a wrong command line. */
function helpFor(args: readonly string[]): string {
  const at = findCommand(args, [...COMMON, ...XEN_OPTIONS]);
  const name = args[at];
  if (name === undefined || !COMMAND_NAMES.includes(name)) return 'xenctrl --help';
  const below = args.slice(at + 1, at + 1 + (FAMILIES.get(name) ?? 0));
  const end = below.findIndex((word) => !/^[a-z]+$/.test(word));
  return ['xenctrl', name, ...(end < 0 ? below : below.slice(0, end)), '--help'].join(' ');
}

function errorObject(error: unknown): Record<string, unknown> {
  if (error instanceof XenError) {
    const { code, errno, syscall, domid, hint, message } = error;
    return { code, message, errno, syscall, domid, hint };
  }
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof UsageError) return { code: 'ERR_USAGE', message, next: error.next };
  if (error instanceof CommandError) return { code: error.code, message, next: error.next };
  if (error instanceof BackendUnavailableError) return { code: error.code, message, backend: error.backend };
  if (error instanceof CallAbortedError) return { code: error.code, message, done: error.done, total: error.total };
  return { code: 'ERR_INTERNAL', message };
}
