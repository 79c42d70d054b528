// A Domain object stands for a domain, not for its number: it refuses another domain that was given the number.
//   node examples/recycled-domid.mjs

import { Xen } from 'xenctrl';
import { ModelXen } from 'xenctrl/model';

const xen = Xen.open({ hypervisor: new ModelXen() });
const domain = xen.createDomain({ altp2m: 'external', maxMemory: 4096 });
domain.populate([0, 1, 2, 3]);
console.log(`made ${domain.domid}, ${domain.uuid}`);

// somebody else destroys it, and the next domain gets its number
xen.domain(domain.domid).destroy();
const other = xen.createDomain({ domid: domain.domid });

try {
  domain.destroy();
} catch (error) {
  console.log(`refused: ${error.message}`);
}
console.log(`domain ${other.domid} is untouched: ${other.alive}`);
xen.close();
