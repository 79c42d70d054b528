/** Every PCI register and bit has the value that Linux's pci_regs.h gives it (Debian's linux-libc-dev). */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

const HEADER = '/usr/include/linux/pci_regs.h';
const CC = process.env['CC'] ?? 'cc';
const ABI = new URL('../../../../dist/abi/pci/', import.meta.url);

/** The header's kind is not in older copies by these names. */
const SINCE_5 = /^PCI_HEADER_TYPE_|^PCI_STD_HEADER_SIZEOF$/;

const skip =
  spawnSync(CC, ['--version']).status !== 0
    ? `no C compiler (${CC})`
    : !existsSync(HEADER) && `no ${HEADER}: apt install linux-libc-dev`;

test('PCI constants are those of pci_regs.h', { skip }, async () => {
  const mine = new Map<string, number>();
  for (const file of readdirSync(ABI).filter((name) => name.endsWith('.js'))) {
    const exported = (await import(new URL(file, ABI).href)) as Record<string, unknown>;
    for (const [name, value] of Object.entries(exported)) if (typeof value === 'number') mine.set(name, value);
  }
  assert.ok(mine.size > 50, `${mine.size} constants`);
  const source = ['#include <linux/pci_regs.h>', ...[...mine].map(([name]) => `xenctrl ${name.slice(4)} = ${name}`)];
  const cpp = spawnSync(CC, ['-E', '-P', '-'], { input: source.join('\n'), encoding: 'utf8' });
  assert.equal(cpp.status, 0, cpp.stderr);
  const theirs = new Map(
    [...cpp.stdout.matchAll(/^xenctrl (\w+) = (\w+)$/gm)].map(([, name, value]) => [`PCI_${name}`, value]),
  );
  for (const [name, value] of mine) {
    const found = theirs.get(name);
    if (found === name && SINCE_5.test(name)) continue;
    assert.equal(Number(found), value, name);
  }
});
