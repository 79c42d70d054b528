/** Builds and runs core_test.cc: the addon's napi-free code against a kernel whose clock the test moves. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from './harness.js';

const env = { ...process.env, LD_PRELOAD: '' };
const skip = spawnSync('g++', ['--version'], { env }).error ? 'no C++ compiler (g++)' : false;

test('mapping retries are bounded and asked only for what is missing; an id names one thing only', { skip }, () => {
  const program = join(ROOT, 'build', 'stub', 'core_test');
  mkdirSync(join(ROOT, 'build', 'stub'), { recursive: true });
  const sources = ['test/native/core_test.cc', 'native/privcmd.cc', 'native/memory.cc'];
  const flags = [
    '-DXENCTRL_FAKE_KERNEL',
    '-std=c++17',
    '-O1',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-fno-exceptions',
    '-fno-rtti',
  ];
  const built = spawnSync('g++', [...flags, ...sources, '-o', program], { cwd: ROOT, env, encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
  const ran = spawnSync(program, { env, encoding: 'utf8' });
  assert.equal(ran.status, 0, ran.stderr);
});
