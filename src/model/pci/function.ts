/** A PCI function as hardware: its configuration space and what of it can be written. */

import { PCI_BASE_ADDRESS_MEM_PREFETCH, PCI_BASE_ADDRESS_MEM_TYPE_64 } from '../../abi/pci/bar.js';
import * as cfg from '../../abi/pci/config.js';
import {
  PCI_CAP_MSIX_SIZEOF,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_MASKALL,
  PCI_MSIX_PBA,
  PCI_MSIX_TABLE,
} from '../../abi/pci/msix.js';
import { formatSbdf, parseSbdf, sbdfBus, sbdfDevfn, sbdfOf, sbdfSegment } from '../../abi/pci/sbdf.js';
import * as sriov from '../../abi/pci/sriov.js';
import type { BarOptions, MsixOptions, PciDeviceOptions, SriovOptions } from './options.js';

const HEADERS = { normal: 0, bridge: 1, cardbus: 2 } as const;
const MSIX_AT = 0x70;
const SRIOV_AT = 0x100;
/** Bits of the command register that exist. */
const COMMAND_MASK = 0x0547;
const MSIX_CONTROL_MASK = PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL;
const SRIOV_CONTROL_MASK = sriov.PCI_SRIOV_CTRL_VFE | sriov.PCI_SRIOV_CTRL_MSE;

/** Bytes of configuration space that can be written: which of a little-endian register's bits. */
interface Writable {
  readonly offset: number;
  readonly mask: number;
  readonly bytes: 2 | 4;
}

export class PciFunction {
  readonly sbdf: number;
  /** The bytes, as they are read. Tests put into them what no writing would. */
  readonly config = new Uint8Array(cfg.PCI_CFG_SPACE_EXP_SIZE);
  readonly group: number;
  readonly options: PciDeviceOptions;
  /** The physical function that this is a virtual one of, or null. */
  readonly physical: PciFunction | null;
  /** False once it was unplugged. */
  present = true;
  readonly #view = new DataView(this.config.buffer);
  readonly #writable: Writable[] = [];

  constructor(options: PciDeviceOptions, physical: PciFunction | null = null) {
    const sbdf = parseSbdf(options.sbdf);
    if (sbdf === undefined) throw new RangeError(`${options.sbdf} is no address of a PCI device`);
    this.sbdf = sbdf;
    this.options = options;
    this.physical = physical;
    this.group = options.group ?? sbdf;
    this.#makeHeader(options);
    if (options.msix) this.#makeMsix(options.msix);
    if (options.sriov) this.#makeSriov(options.sriov);
  }

  get name(): string {
    return formatSbdf(this.sbdf);
  }

  /** Size in bytes of a BAR of memory, where it has such a one. */
  barSize(index: number): bigint | undefined {
    const bars = this.physical?.options.sriov?.bars ?? this.options.bars;
    const bar = bars?.find((one) => one.index === index && one.kind !== 'io');
    return bar && BigInt(bar.size);
  }

  /** What is read of its configuration space; all ones when nobody answers. */
  readConfig(): Uint8Array {
    return this.present ? this.config.slice() : new Uint8Array(this.config.length).fill(0xff);
  }

  /** Writes to configuration space, as far as there is something that can be written. */
  writeConfig(offset: number, bytes: Uint8Array): void {
    if (!this.present) return;
    for (const { offset: at, mask, bytes: width } of this.#writable) {
      for (let i = 0; i < width; i++) {
        const given = bytes[at + i - offset];
        if (given === undefined) continue;
        const bits = (mask >>> (8 * i)) & 0xff;
        this.config[at + i] = ((this.config[at + i] ?? 0) & ~bits) | (given & bits);
      }
    }
  }

  /** The virtual functions that it has by its options. */
  virtualFunctions(): PciFunction[] {
    const { sriov: options } = this.options;
    if (!options) return [];
    const { firstVf = 0x80, stride = 2, vfs, msix } = options;
    return Array.from({ length: vfs }, (_, i) => {
      const routing = (sbdfBus(this.sbdf) << 8) + sbdfDevfn(this.sbdf) + firstVf + i * stride;
      const sbdf = formatSbdf(sbdfOf(sbdfSegment(this.sbdf), routing >> 8, routing & 0xff));
      const vf: PciDeviceOptions = { sbdf, vendor: 0xffff, device: 0xffff, memory: false, ...(msix && { msix }) };
      return new PciFunction(vf, this);
    });
  }

  #allow(offset: number, mask: number, bytes: 2 | 4): void {
    this.#writable.push({ offset, mask, bytes });
  }

  #makeHeader(options: PciDeviceOptions): void {
    const { vendor = 0x8086, device = 0x1234, classCode = 0x02_0000, header = 'normal', memory = true } = options;
    const view = this.#view;
    view.setUint16(cfg.PCI_VENDOR_ID, vendor, true);
    view.setUint16(cfg.PCI_DEVICE_ID, device, true);
    view.setUint16(cfg.PCI_COMMAND, memory ? cfg.PCI_COMMAND_MEMORY | cfg.PCI_COMMAND_MASTER : 0, true);
    view.setUint8(cfg.PCI_CLASS_PROG, classCode & 0xff);
    view.setUint16(cfg.PCI_CLASS_DEVICE, classCode >>> 8, true);
    view.setUint8(cfg.PCI_HEADER_TYPE, HEADERS[header] | (options.multiFunction ? 0x80 : 0));
    this.#allow(cfg.PCI_COMMAND, COMMAND_MASK, 2);
    this.#makeBars(cfg.PCI_BASE_ADDRESS_0, options.bars ?? []);
  }

  #makeBars(base: number, bars: readonly BarOptions[]): void {
    for (const { index, kind = 'memory', width = 32, prefetchable = false, address, size } of bars) {
      const least = kind === 'io' ? 4 : 16;
      if (size < least || (size & (size - 1)) !== 0 || address % size !== 0) {
        throw new RangeError(`BAR ${index} of ${this.name} is not of a power of 2 of bytes, at a multiple of it`);
      }
      const wide = kind === 'memory' && width === 64;
      const flags = wide ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0;
      const low = kind === 'io' ? 1 : flags | (prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0);
      this.#view.setUint32(base + index * 4, ((address % 2 ** 32) + low) >>> 0, true);
      this.#allow(base + index * 4, ~(size - 1) & ~(kind === 'io' ? 3 : 15), 4);
      if (!wide) continue;
      this.#view.setUint32(base + index * 4 + 4, Math.floor(address / 2 ** 32), true);
      this.#allow(base + index * 4 + 4, -1, 4);
    }
  }

  #makeMsix({ vectors, table, pba, at = MSIX_AT }: MsixOptions): void {
    if (vectors < 1 || vectors > 2048) throw new RangeError(`a device has 1 to 2048 vectors, not ${vectors}`);
    this.#addCapability(cfg.PCI_CAP_ID_MSIX, at, PCI_CAP_MSIX_SIZEOF);
    this.#view.setUint16(at + PCI_MSIX_FLAGS, vectors - 1, true);
    this.#view.setUint32(at + PCI_MSIX_TABLE, (table.offset | table.bir) >>> 0, true);
    this.#view.setUint32(at + PCI_MSIX_PBA, (pba.offset | pba.bir) >>> 0, true);
    this.#allow(at + PCI_MSIX_FLAGS, MSIX_CONTROL_MASK, 2);
  }

  /** Puts a capability at the head of the list. */
  #addCapability(id: number, at: number, bytes: number): void {
    if (at < cfg.PCI_STD_HEADER_SIZEOF || at % 4 !== 0 || at + bytes > cfg.PCI_CFG_SPACE_SIZE) {
      throw new RangeError(`a capability of ${bytes} bytes cannot be at 0x${at.toString(16)}`);
    }
    const view = this.#view;
    const head = this.options.header === 'cardbus' ? cfg.PCI_CB_CAPABILITY_LIST : cfg.PCI_CAPABILITY_LIST;
    view.setUint8(at, id);
    view.setUint8(at + 1, view.getUint8(head));
    view.setUint8(head, at);
    view.setUint16(cfg.PCI_STATUS, view.getUint16(cfg.PCI_STATUS, true) | cfg.PCI_STATUS_CAP_LIST, true);
  }

  #makeSriov({ vfs, firstVf = 0x80, stride = 2, bars }: SriovOptions): void {
    const view = this.#view;
    view.setUint32(SRIOV_AT, cfg.PCI_EXT_CAP_ID_SRIOV | 0x1_0000, true);
    view.setUint16(SRIOV_AT + sriov.PCI_SRIOV_CTRL, SRIOV_CONTROL_MASK, true);
    for (const register of [sriov.PCI_SRIOV_INITIAL_VF, sriov.PCI_SRIOV_TOTAL_VF, sriov.PCI_SRIOV_NUM_VF]) {
      view.setUint16(SRIOV_AT + register, vfs, true);
    }
    view.setUint16(SRIOV_AT + sriov.PCI_SRIOV_VF_OFFSET, firstVf, true);
    view.setUint16(SRIOV_AT + sriov.PCI_SRIOV_VF_STRIDE, stride, true);
    view.setUint16(SRIOV_AT + sriov.PCI_SRIOV_VF_DID, 0x1235, true);
    this.#allow(SRIOV_AT + sriov.PCI_SRIOV_CTRL, SRIOV_CONTROL_MASK, 2);
    this.#makeBars(SRIOV_AT + sriov.PCI_SRIOV_BAR, bars);
  }
}
