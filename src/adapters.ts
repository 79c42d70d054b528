/** Fills the table of adapters: the front door's one act beside re-exporting. */

import { createRequire } from 'node:module';
import { libxenAdapter } from './hypervisor/libxen/index.js';
import { registerAdapter } from './hypervisor/open.js';
import { privcmdAdapter } from './hypervisor/privcmd/index.js';
import type * as ModelAdapter from './model/adapter.js';

const require = createRequire(import.meta.url);

registerAdapter('privcmd', privcmdAdapter);
registerAdapter('libxen', libxenAdapter);
registerAdapter('model', {
  unavailable: () => null,
  open() {
    // a third of the package's modules: a script on a dom0 never loads them
    const { modelAdapter }: typeof ModelAdapter = require('./model/adapter.js');
    return modelAdapter.open();
  },
});
