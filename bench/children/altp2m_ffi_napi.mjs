// libxenctrl's C functions, called from JavaScript by ffi-napi.

import { createRequire } from 'node:module';
import { serve } from '../lib/loop.mjs';

const { Library } = createRequire(import.meta.url)('ffi-napi');
const lib = Library(process.argv[2], {
  xc_interface_open: ['size_t', ['size_t', 'size_t', 'uint']],
  xc_altp2m_set_visibility: ['int', ['size_t', 'uint32', 'uint16', 'bool']],
});
const xch = lib.xc_interface_open(0, 0, 0);

await serve({
  set_visibility(count) {
    for (let i = 0; i < count; i++) {
      if (lib.xc_altp2m_set_visibility(xch, 1, 1, (i & 1) === 1) !== 0) throw new Error('failed');
    }
  },
});
