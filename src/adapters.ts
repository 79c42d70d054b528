/** Fills the table of adapters: the front door's one act beside re-exporting. */

import { registerAdapter } from './hypervisor/open.js';
import { privcmdAdapter } from './hypervisor/privcmd/index.js';
import { modelAdapter } from './model/adapter.js';

registerAdapter('privcmd', privcmdAdapter);
registerAdapter('model', modelAdapter);
