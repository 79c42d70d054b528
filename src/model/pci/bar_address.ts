/** Where a BAR is in the machine's memory: Xen's `read_pci_mem_bar`. */

import { barCount, PCI_BASE_ADDRESS_MEM_TYPE_64, PCI_BASE_ADDRESS_SPACE_IO, readBarAt } from '../../abi/pci/bar.js';
import { headerType, PCI_BASE_ADDRESS_0, PCI_COMMAND, PCI_COMMAND_MEMORY, readConfig } from '../../abi/pci/config.js';
import { msixBar } from '../../abi/pci/msix.js';
import { sbdfBus, sbdfDevfn, sbdfOf, sbdfSegment } from '../../abi/pci/sbdf.js';
import { readSriov, type SriovCapability, vfIndex } from '../../abi/pci/sriov.js';
import type { MsixPosted } from './as_posted.js';
import type { PciFunction } from './function.js';
import type { Pdev } from './pdev.js';

/** What it needs of the machine. */
export interface BarHost {
  readonly posted: MsixPosted;
  readonly functions: ReadonlyMap<number, PciFunction>;
}

/** An address, or why there is none. */
export type BarAddress = { readonly address: bigint } | { readonly problem: string };

const routing = (sbdf: number): number => (sbdfBus(sbdf) << 8) + sbdfDevfn(sbdf);

export function barAddress(host: BarHost, pdev: Pdev, bir: number): BarAddress {
  const { posted } = host;
  if (posted[11]) {
    // neither segments nor virtual functions: the device of that number in segment 0, whatever this one is
    const other = host.functions.get(sbdfOf(0, sbdfBus(pdev.sbdf), sbdfDevfn(pdev.sbdf)));
    return other ? ownBar(host, other, bir) : { problem: 'there is no such device in segment 0' };
  }
  if (pdev.physical === null) return ownBar(host, pdev.hardware, bir);
  const found = virtualFunction(host, pdev);
  if ('problem' in found) return found;
  const { sriov, index } = found;
  const bar = sriov.bars.find((one) => one.index === bir);
  if (!bar) return { problem: `BIR ${bir} is no BAR of a virtual function` };
  if ('problem' in bar) return bar;
  const size = pdev.hardware.barSize(bir);
  if (bar.kind === 'io' || size === undefined) return { problem: `BAR ${bir} is not of memory` };
  if (bar.address === 0n) return { problem: `BAR ${bir} has no address` };
  return { address: bar.address + BigInt(index) * size };
}

function ownBar({ posted }: BarHost, hardware: PciFunction, bir: number): BarAddress {
  const config = hardware.readConfig();
  if (posted[1] || posted[2]) return postedBar(posted, config, bir);
  const bar = msixBar(config, { bir, offset: 0, bytes: 0 });
  if ('problem' in bar) return bar;
  return bar.address === 0n ? { problem: `BAR ${bir} has no address` } : bar;
}

/** As posted: the header's kind with the bit of several functions in it; of a register the bits that are no address. */
function postedBar(posted: MsixPosted, config: Uint8Array, bir: number): BarAddress {
  const kind = posted[2] ? (readConfig(config, 0xe, 1) ?? 0xff) : headerType(config);
  const count = barCount(kind);
  const bar = readBarAt(config, PCI_BASE_ADDRESS_0, bir, count);
  if ('problem' in bar) return bar;
  const low = readConfig(config, PCI_BASE_ADDRESS_0 + bir * 4, 4) ?? 0;
  if (low & PCI_BASE_ADDRESS_SPACE_IO) return { problem: `BAR ${bir} is of I/O ports` };
  if (!posted[1]) return bar;
  const high = low & PCI_BASE_ADDRESS_MEM_TYPE_64 ? (bar.address >> 32n) << 32n : 0n;
  return { address: high | BigInt(low & 0xf) };
}

function virtualFunction(
  { functions }: BarHost,
  { sbdf, physical }: Pdev,
): { readonly sriov: SriovCapability; readonly index: number } | { readonly problem: string } {
  const hardware = physical === null ? undefined : functions.get(physical);
  const sriov = hardware && readSriov(hardware.readConfig());
  if (!hardware || !sriov?.enabled || !sriov.memoryEnabled) {
    return { problem: 'the physical function has no virtual ones, or does not decode their memory' };
  }
  if (sbdfSegment(sbdf) !== sbdfSegment(hardware.sbdf)) return { problem: 'the physical function is elsewhere' };
  const index = vfIndex(sriov, routing(hardware.sbdf), routing(sbdf));
  return index < 0 ? { problem: 'it is none of the virtual functions that are enabled' } : { sriov, index };
}

/** Whether accesses to its memory reach it: of a virtual function that is the physical one's to say (`memory_decoded`). */
export function memoryDecoded(host: BarHost, pdev: Pdev): boolean {
  if (pdev.physical !== null && !host.posted[11]) return !('problem' in virtualFunction(host, pdev));
  const command = readConfig(pdev.hardware.readConfig(), PCI_COMMAND, 2) ?? 0xffff;
  return command !== 0xffff && (command & PCI_COMMAND_MEMORY) !== 0;
}
