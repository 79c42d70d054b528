/**
 * Observers that the environment asks for:
 * - `XENCTRL_TRACE=1` prints each hypercall on standard error; `=FILE` appends to a file; `=0` is nothing.
 * - `XENCTRL_RECORD=FILE` writes the session as a recording that `npm run replay` takes. `%p` in the name is the process id.
 *
 * `docs/recordings.md` describes both.
 */

import { createRequire } from 'node:module';
import type { Hypervisor } from '../hypervisor/port.js';
import type { putObservers } from './observers.js';

/** Puts the observers that the environment asks for between the calls and the hypervisor: none, and nothing is between. */
export function observe(hypervisor: Hypervisor): Hypervisor {
  const { XENCTRL_TRACE: trace = '', XENCTRL_RECORD: record = '' } = process.env;
  const traces = trace !== '' && trace !== '0';
  if (!traces && record === '') return hypervisor;
  // loaded here and now, and not with the package: who does not look on does not wait for a dozen modules
  const require = createRequire(import.meta.url);
  const observers: { readonly putObservers: typeof putObservers } = require('./observers.js');
  return observers.putObservers(hypervisor, traces ? trace : '', record);
}
