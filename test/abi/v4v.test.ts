/** V4V's tables and numbers against docs/v4v.h, by a C compiler. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Struct } from '#dist/abi/layout.js';
import * as v4v from '#dist/abi/v4v.js';

const DOCS = fileURLToPath(new URL('../../../docs', import.meta.url));
const CC = process.env['CC'] ?? 'cc';

const exported = Object.entries(v4v) as readonly [string, unknown][];

function isStruct(value: unknown): value is Struct {
  return typeof value === 'object' && value !== null && 'header' in value;
}

test('numbers, sizes and offsets are those of docs/v4v.h', {
  skip: spawnSync(CC, ['--version']).status !== 0 && `no C compiler (${CC})`,
}, () => {
  const expressions: [text: string, value: bigint][] = [];
  for (const [name, value] of exported) {
    if (typeof value === 'number' || typeof value === 'bigint') expressions.push([name, BigInt(value)]);
    if (!isStruct(value)) continue;
    expressions.push([`sizeof(struct ${value.name})`, BigInt(value.size)]);
    for (const [field, [offset, size]] of Object.entries(value.fields)) {
      expressions.push([`offsetof(struct ${value.name}, ${field})`, BigInt(offset)]);
      expressions.push([`sizeof(((struct ${value.name} *)0)->${field})`, BigInt(size)]);
    }
  }
  for (const op of ['tables_add', 'tables_del', 'tables_list'] as const) {
    expressions.push([`V4V_V9_${op}`, BigInt(v4v.V4V_NUMBERS.v9[op])]);
  }
  expressions.push(['V4V_ROUNDUP(1)', 16n], ['V4V_ROUNDUP(0x100000001ULL)', 0x1_0000_0010n]);
  assert.ok(expressions.length > 100);
  const folder = mkdtempSync(join(tmpdir(), 'xenctrl-v4v-'));
  try {
    const lines = expressions.map(([text]) => `printf("%llu\\n", (unsigned long long)(${text}));`);
    const source = `#include <stddef.h>\n#include <stdio.h>\n#include "v4v.h"\nint main(void) {\n${lines.join('\n')}\nreturn 0; }\n`;
    writeFileSync(join(folder, 'v4v.c'), source);
    const flags = ['-std=gnu11', '-Wall', '-Wextra', '-Werror', `-I${DOCS}`];
    const built = spawnSync(CC, [...flags, join(folder, 'v4v.c'), '-o', join(folder, 'v4v')], { encoding: 'utf8' });
    assert.equal(built.status, 0, built.stderr);
    const { stdout } = spawnSync(join(folder, 'v4v'), { encoding: 'utf8' });
    const answers = stdout.trim().split('\n').map(BigInt);
    assert.deepEqual(
      expressions.map(([text], i) => [text, answers[i]]),
      expressions,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
