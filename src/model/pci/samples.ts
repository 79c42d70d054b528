/** Devices as QEMU makes them, for machines that need some. */

import type { PciDeviceOptions } from './options.js';

/** Intel 82574L (`-device e1000e`): MSI-X in BAR 3, five vectors. */
export function e1000e(sbdf = '0000:00:10.0', address = 0xfea0_0000): PciDeviceOptions {
  return {
    sbdf,
    vendor: 0x8086,
    device: 0x10d3,
    classCode: 0x02_0000,
    bars: [
      { index: 0, address, size: 0x2_0000 },
      { index: 1, address: address + 0x2_0000, size: 0x2_0000 },
      { index: 2, kind: 'io', address: 0xc040, size: 0x20 },
      { index: 3, address: address + 0x4_0000, size: 0x4000 },
    ],
    msix: { vectors: 5, table: { bir: 3, offset: 0 }, pba: { bir: 3, offset: 0x2000 }, at: 0xa0 },
  };
}

/** An NVMe controller (`-device nvme`): MSI-X at 0x2000 of BAR 0, behind the registers and doorbells; 65 vectors. */
export function nvme(sbdf = '0000:00:11.0', address = 0xfe90_0000): PciDeviceOptions {
  return {
    sbdf,
    vendor: 0x1b36,
    device: 0x0010,
    classCode: 0x01_0802,
    bars: [{ index: 0, width: 64, address, size: 0x4000 }],
    msix: { vectors: 65, table: { bir: 0, offset: 0x2000 }, pba: { bir: 0, offset: 0x3000 }, at: 0x40 },
  };
}
