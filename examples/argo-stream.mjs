// A stream between dom0 and a guest over Argo, with the back pressure of node:stream.
//   node examples/argo-stream.mjs

import { text } from 'node:stream/consumers';
import { xc_interface_open } from 'xenctrl';
import { ArgoDriver, ArgoServer, argoConnect } from 'xenctrl/argo';
import { GuestKernel, ModelXen } from 'xenctrl/model';

// A software Xen, booted with argo=1, and the kernel of its guest. On a dom0 the first driver is all that runs there:
// `new ArgoDriver(xc_interface_open())`.
const xen = new ModelXen({ argo: true });
const { domid } = xen.createGuest({ memoryPages: 256 });
const kernel = new GuestKernel(xen, domid, { gfn: 0x40, pages: 64 });

const inDom0 = new ArgoDriver(xc_interface_open({ hypervisor: xen }));
const inGuest = new ArgoDriver(xc_interface_open({ hypervisor: kernel }), { domid, allocate: kernel.pages });

// without mac-permissive=1 a server is for one partner
const server = new ArgoServer(inGuest, { port: 80, partner: 0 });
server.on('connection', (stream) => stream.end('a long answer '.repeat(100_000)));

const client = argoConnect(inDom0, { domain: domid, port: 80 });
console.log(`the guest has sent ${(await text(client)).length} letters`);

inGuest.close();
inDom0.close();
