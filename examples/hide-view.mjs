// Hides a view from the guest that could enter it by VMFUNC, and shows it again.
//   node examples/hide-view.mjs

import { Xen } from 'xenctrl';
import { ModelXen } from 'xenctrl/model';

// A software Xen with one guest. On a dom0: `const xen = Xen.open()` and the id of a guest of yours.
const model = new ModelXen({ release: '4.17' });
const guest = model.createGuest({ memoryPages: 1024, altp2m: 'external' });
const xen = Xen.open({ hypervisor: model });

const { altp2m } = xen.domain(guest.domid);
altp2m.enable();
altp2m.enableNotify(0, 0x50); // what enables VMFUNC on vCPU 0

const view = altp2m.createView({ defaultAccess: 'rwx' });
const vmfunc = () => (guest.vcpus[0].vmfunc(0, view.index).exception === null ? 'enters the view' : 'gets #UD');

console.log(`visible: the guest ${vmfunc()}`);
altp2m.switchTo(0);
view.hide();
console.log(`hidden: the guest ${vmfunc()}`);
view.show();
console.log(`visible again: the guest ${vmfunc()}`);

view.destroy({ evict: true }); // the guest is in it: to view 0 with it
xen.close();
