// Lists the domains, and which of them altp2m can be used on.
//   node examples/list-domains.mjs          on a dom0 as root; elsewhere it lists those of a software Xen

import { Xen } from 'xenctrl';

const xen = Xen.open();
console.log(`Xen ${xen.version.text} (${xen.kind})`);
for (const domain of xen.domains()) {
  const { hvm_guest, nr_online_vcpus, tot_pages } = domain.info();
  const mode = hvm_guest ? domain.altp2m.mode : 'not for PV';
  console.log(`${domain.domid}  ${domain.uuid}  ${nr_online_vcpus} vCPUs  ${tot_pages / 256} MiB  altp2m: ${mode}`);
}
xen.close();
