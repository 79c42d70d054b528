// Builds what can be built here: npm runs this after `npm install` in a checkout, and before it packs. What cannot be
// built is said in a line, and only errors in our own TypeScript fail the install: the software model needs no compiler.

import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildNative, copyPrebuild } from './build-native.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

function compileTypeScript() {
  let tsc;
  try {
    tsc = createRequire(join(root, 'package.json')).resolve('typescript/bin/tsc');
  } catch {
    console.log('TypeScript: skipped, it is not installed (npm install, without --omit=dev, builds dist/)');
    return true;
  }
  console.log('TypeScript: compiling ...');
  const run = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.json')], { cwd: root, stdio: 'inherit' });
  console.log(run.status === 0 ? 'TypeScript: dist/ is built' : 'TypeScript: failed');
  return run.status === 0;
}

function compileAddon() {
  console.log('native addon: compiling ...');
  const result = buildNative();
  if (result.built) {
    copyPrebuild();
    console.log('native addon: built');
  } else {
    console.log(`native addon: skipped, ${result.reason}; the software model and the FFI backend work without it`);
    console.log(`native addon: to get it: ${result.mend}`);
  }
}

if (compileTypeScript()) compileAddon();
else process.exitCode = 1;
