// The agent in the Worker: stops its guest after `words[0]` events, and says so in `words[1]`.

import { xc_domain_pause } from '#dist/xc/domain.js';

// biome-ignore lint/style/noDefaultExport: the module of an agent has one
export default ({ xch, domid, data: words }) =>
  (event) => {
    event.respond();
    if (--words[0] !== 0) return;
    xc_domain_pause(xch, domid);
    Atomics.store(words, 1, 1);
    Atomics.notify(words, 1);
  };
