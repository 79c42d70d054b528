import { readFileSync } from 'node:fs';
import type { TestGuest } from './guest.js';
import { ModelGuest } from './model_guest.js';
import { RealGuest } from './real_guest.js';
import type { Target } from './target.js';

/** Starts the tests' guest in a domain that `createHvm` made: modelled on the model, real on a real Xen. */
export function startGuest(target: Target, domid: number): TestGuest {
  if (target.model) return new ModelGuest(target.xch, target.model, domid);
  const amd = readFileSync('/proc/cpuinfo', 'utf8').includes('AuthenticAMD');
  return new RealGuest(target.xch, domid, { vendor: amd ? 'amd' : 'intel' });
}
