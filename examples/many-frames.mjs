// Takes write access to 1 GiB away in a view, off the main thread, with progress, in at most ten seconds.
//   node examples/many-frames.mjs

import { Xen } from 'xenctrl';
import { ModelXen } from 'xenctrl/model';

const COUNT = 2 ** 18;
const model = new ModelXen();
const { domid } = model.createGuest({ memoryPages: COUNT, altp2m: 'external' });
const xen = Xen.open({ hypervisor: model });
const { altp2m } = xen.domain(domid);
altp2m.enable();
const view = altp2m.createView();

let shown = 0;
const onProgress = (done, total) => {
  const quarter = Math.floor((done / total) * 4);
  if (quarter > shown) console.log(`${quarter * 25} %`);
  shown = quarter;
};
const frames = BigUint64Array.from({ length: COUNT }, (_, i) => BigInt(i));
await view.setAccessOfAsync(frames, 'rx', { onProgress, signal: AbortSignal.timeout(10_000) });
console.log(`frame 0x1234 is now ${view.getAccess(0x1234)}`);
xen.close();
