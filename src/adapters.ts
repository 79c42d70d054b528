/** Fills the table of adapters: the front door's one act beside re-exporting. */

import { createRequire } from 'node:module';
import type * as Libxen from './hypervisor/libxen/index.js';
import { registerAdapter } from './hypervisor/open.js';
import { privcmdAdapter } from './hypervisor/privcmd/index.js';
import type * as ModelAdapter from './model/adapter.js';

const require = createRequire(import.meta.url);

// half of the package's modules are these two: a script on a dom0 with the addon never loads them
const libxen = (): typeof Libxen.libxenAdapter => {
  const { libxenAdapter }: typeof Libxen = require('./hypervisor/libxen/index.js');
  return libxenAdapter;
};
const model = (): typeof ModelAdapter.modelAdapter => {
  const { modelAdapter }: typeof ModelAdapter = require('./model/adapter.js');
  return modelAdapter;
};

registerAdapter('privcmd', privcmdAdapter);
registerAdapter('libxen', { unavailable: () => libxen().unavailable(), open: () => libxen().open() });
registerAdapter('model', { unavailable: () => null, open: () => model().open() });
