/** Calls on devices are told in libxc's words, with devices by their names. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as xc from '#dist/index.js';
import { e1000e, ModelXen } from '#dist/model/index.js';
import { decorate } from '#dist/trace/decorate.js';
import { NO_COLOURS } from '#dist/trace/format.js';
import { Tracer } from '#dist/trace/tracer.js';

const DEVICE = 0x80;

test('calls on devices are printed with what they ask for and what Xen chose', () => {
  const xen = new ModelXen({ pci: { devices: [e1000e()] } });
  const { domid } = xen.createGuest({ iommu: true });
  const lines: string[] = [];
  const xch = xc.xc_interface_open({
    hypervisor: decorate(xen, new Tracer(xen, (line) => lines.push(line), NO_COLOURS)),
  });
  xc.xc_domain_pause(xch, domid);
  lines.length = 0;
  xc.xc_physdev_prepare_msix(xch, DEVICE);
  xc.xc_assign_device(xch, domid, DEVICE, xc.XEN_DOMCTL_DEV_RDM_RELAXED);
  xc.xc_domain_iomem_permission(xch, domid, 0xfea40, 4, true);
  xc.xc_domain_ioport_permission(xch, domid, 0xc040, 32, true);
  xc.xc_domain_ioport_mapping(xch, domid, 0xc100, 0xc040, 32, true);
  const pirq = xc.xc_physdev_map_pirq_msi(xch, domid, -1, -1, DEVICE, 0, 2, 0xfea4_0000);
  xc.xc_domain_update_msi_irq(xch, domid, 0x41, pirq, 0, 0);
  xc.xc_domain_unbind_msi_irq(xch, domid, 0x41, pirq, 0);
  xc.xc_physdev_unmap_pirq(xch, domid, pirq);
  xc.xc_physdev_map_pirq(xch, domid, 19, -1);
  xc.xc_deassign_device(xch, domid, DEVICE);
  assert.throws(() => xc.xc_test_assign_device(xch, 0, DEVICE));
  xc.xc_physdev_release_msix(xch, DEVICE);
  assert.deepEqual(
    lines.map((line) => line.replace(/ {2}\d+\.\dus$/, '')),
    [
      'xc_physdev_prepare_msix(sbdf=0000:00:10.0) = 0',
      'xc_assign_device(domid=1, sbdf=0000:00:10.0, flags=1) = 0',
      'xc_domain_iomem_permission(domid=1, first_mfn=1043008, nr_mfns=4, allow_access=1) = 0',
      'xc_domain_ioport_permission(domid=1, first_port=49216, nr_ports=32, allow_access=1) = 0',
      'xc_domain_ioport_mapping(domid=1, first_gport=49408, first_mport=49216, nr_ports=32, add_mapping=1) = 0',
      'xc_physdev_map_pirq_msi(domid=1, index=-1, pirq=-1, sbdf=0000:00:10.0, entry=2, table_base=4272160768) = 0 {pirq=55}',
      'xc_domain_bind_pt_irq(domid=1, machine_irq=55, irq_type=2) = 0',
      'xc_domain_unbind_pt_irq(domid=1, machine_irq=55, irq_type=2) = 0',
      'xc_physdev_unmap_pirq(domid=1, pirq=55) = 0',
      'xc_physdev_map_pirq(domid=1, index=19, pirq=19) = 0 {pirq=19}',
      'xc_deassign_device(domid=1, sbdf=0000:00:10.0) = 0',
      'xc_test_assign_device(domid=0, sbdf=0000:00:10.0) = -EINVAL',
      'xc_physdev_release_msix(sbdf=0000:00:10.0) = 0',
    ],
  );
});
