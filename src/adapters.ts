/** Fills the table of adapters: the front door's one act beside re-exporting. */

import { libxenAdapter } from './hypervisor/libxen/index.js';
import { registerAdapter } from './hypervisor/open.js';
import { privcmdAdapter } from './hypervisor/privcmd/index.js';
import { modelAdapter } from './model/adapter.js';

registerAdapter('privcmd', privcmdAdapter);
registerAdapter('libxen', libxenAdapter);
registerAdapter('model', modelAdapter);
