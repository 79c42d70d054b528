/** Xen's debug keys (`common/keyhandler.c`), those that the model has; what they print is in the console ring. */

import type { ConsoleRing } from './console_ring.js';
import type { Domain } from './domain.js';

interface KeyHost {
  readonly console: ConsoleRing;
  readonly domains: ReadonlyMap<number, Domain>;
}

interface Key {
  readonly does: string;
  readonly run: (host: KeyHost) => void;
}

const KEYS: ReadonlyMap<string, Key> = new Map([
  ['h', { does: 'list the keys', run: showKeys }],
  ['q', { does: 'tell about the domains', run: dumpDomains }],
]);

/** Does what a key is for; a key that is for nothing is passed over (`handle_keypress`). */
export function pressKey(host: KeyHost, key: string): void {
  const handler = KEYS.get(key);
  if (!handler) return;
  host.console.print(`key '${key}': ${handler.does}`);
  handler.run(host);
}

function showKeys({ console }: KeyHost): void {
  for (const [key, { does }] of KEYS) console.print(`  '${key}' to ${does}`);
}

function dumpDomains({ console, domains }: KeyHost): void {
  for (const domain of domains.values()) {
    console.print(
      `domain ${domain.domid}:`,
      `    dying=${Number(domain.dying)} pause_count=${domain.pauseCount} nr_pages=${domain.totPages} max_pages=${domain.maxPages}`,
    );
    for (const vcpu of domain.vcpus) console.print(`    VCPU${vcpu.id}: ${vcpu.online ? 'up' : 'down'}`);
  }
}
