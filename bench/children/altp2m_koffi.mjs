// libxenctrl's C functions, called from JavaScript by koffi.

import koffi from 'koffi';
import { serve } from '../lib/loop.mjs';

const lib = koffi.load(process.argv[2]);
const open = lib.func('xc_interface_open', 'void *', ['void *', 'void *', 'uint']);
const setVisibility = lib.func('xc_altp2m_set_visibility', 'int', ['void *', 'uint32_t', 'uint16_t', 'bool']);
const xch = open(null, null, 0);

await serve({
  set_visibility(count) {
    for (let i = 0; i < count; i++) if (setVisibility(xch, 1, 1, (i & 1) === 1) !== 0) throw new Error('failed');
  },
});
