/**
 * An HVM domain's writes to the pages that a device's MSI-X table is on, carried out by Xen (`arch/x86/hvm/vmsi.c`):
 * vectors are masked and unmasked, addresses and data are kept from the device, and registers beside the table are
 * written since 4.19.
 */

import { PCI_MSIX_ENTRY_CTRL_MASKBIT, PCI_MSIX_ENTRY_SIZE, PCI_MSIX_ENTRY_VECTOR_CTRL } from '../../abi/pci/msix.js';
import { DOMID_IO } from '../../abi/xen.js';
import type { MsixHost } from './msix.js';
import { setMask } from './msix.js';
import type { Msix, Pdev } from './pdev.js';

/** Table entries whose address and data Xen keeps itself; the others' the device model has. */
const KEPT_ENTRIES = 3;

const frameOf = (address: number): number => Math.floor(address / 4096);

/** A saved {@link MsixTable}: plain JSON. */
export interface MsixTableState {
  readonly sbdf: number;
  readonly address: number;
  readonly users: number;
  readonly adjacent: boolean;
  readonly words: readonly (readonly [offset: number, value: number])[];
  readonly changed: readonly number[];
}

/** A table as one domain sees it (`struct msixtbl_entry`). */
export class MsixTable {
  readonly pdev: Pdev;
  /** Guest-physical address. */
  readonly address: number;
  /** Vectors bound with this table. */
  users = 0;
  readonly #host: MsixHost;
  readonly #msix: Msix;
  readonly #adjacent: boolean;
  /** Address and data as the guest wrote them, by word. */
  readonly #words = new Map<number, number>();
  /** Entries written since they were unmasked: the device model is to hear of it. */
  readonly #changed = new Set<number>();

  /** @param adjacent whether this Xen takes writes to what is beside the table */
  constructor(host: MsixHost, pdev: Pdev, msix: Msix, address: number, adjacent: boolean) {
    this.#host = host;
    this.pdev = pdev;
    this.#msix = msix;
    this.address = address;
    this.#adjacent = adjacent;
  }

  /** What {@link restore} needs to make it again. */
  save(): MsixTableState {
    const { address, users } = this;
    const adjacent = this.#adjacent;
    return { sbdf: this.pdev.sbdf, address, users, adjacent, words: [...this.#words], changed: [...this.#changed] };
  }

  static restore(host: MsixHost, pdev: Pdev, msix: Msix, state: MsixTableState): MsixTable {
    const table = new MsixTable(host, pdev, msix, state.address, state.adjacent);
    table.users = state.users;
    for (const [offset, value] of state.words) table.#words.set(offset, value);
    for (const entry of state.changed) table.#changed.add(entry);
    return table;
  }

  get #end(): number {
    return this.address + this.#msix.vectors * PCI_MSIX_ENTRY_SIZE;
  }

  /** Whether an address is on one of the table's pages. */
  covers(address: number): boolean {
    return frameOf(address) >= frameOf(this.address) && frameOf(address) <= frameOf(this.#end - 1);
  }

  /** What a load gives; null: it is the device model's to answer. */
  read(address: number, length: number): Uint8Array | null {
    if (address % length !== 0) return null;
    if (address < this.address || address >= this.#end) {
      return this.#adjacent ? this.#page(address).slice(address % 4096, (address % 4096) + length) : null;
    }
    if (length !== 4 && length !== 8) return null;
    const bytes = new Uint8Array(length);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < length; i += 4) {
      const word = this.#word(address + i - this.address);
      if (word === null) return null;
      view.setUint32(i, word, true);
    }
    return bytes;
  }

  /** A store. What is not aligned, or of another length than 4 or 8 within the table, goes to the device model or nowhere. */
  write(address: number, bytes: Uint8Array): void {
    const { length } = bytes;
    if (address % length !== 0) return;
    if (address < this.address || address >= this.#end) {
      this.#writeAdjacent(address, bytes);
      return;
    }
    if (length !== 4 && length !== 8) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, length);
    for (let i = 0; i < length; i += 4) this.#writeWord(address + i - this.address, view.getUint32(i, true));
  }

  #word(offset: number): number | null {
    const entry = Math.floor(offset / PCI_MSIX_ENTRY_SIZE);
    if (offset % PCI_MSIX_ENTRY_SIZE !== PCI_MSIX_ENTRY_VECTOR_CTRL) return this.#words.get(offset) ?? null;
    const vector = this.#msix.entries.find((one) => one.entry === entry);
    return vector ? (vector.guestMasked ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0) : null;
  }

  #writeWord(offset: number, value: number): void {
    const entry = Math.floor(offset / PCI_MSIX_ENTRY_SIZE);
    if (offset % PCI_MSIX_ENTRY_SIZE !== PCI_MSIX_ENTRY_VECTOR_CTRL) {
      if (entry < KEPT_ENTRIES) this.#words.set(offset, value);
      this.#changed.add(entry);
      return;
    }
    const masked = (value & PCI_MSIX_ENTRY_CTRL_MASKBIT) !== 0;
    // the device model sets the vector up anew before it is unmasked
    if (!masked && this.#changed.delete(entry)) return;
    const vector = this.#msix.entries.find((one) => one.entry === entry);
    if (!vector) return;
    vector.guestMasked = masked;
    setMask(this.#host, this.#msix, entry, masked);
  }

  #writeAdjacent(address: number, bytes: Uint8Array): void {
    const { table, pba } = this.#msix;
    if (!this.#adjacent || !table || !pba || bytes.length > 8) return;
    // a page that pending bits are on, too, is written by nobody
    if (address < this.address ? table.first === pba.last : table.last === pba.first) return;
    this.#page(address).set(bytes, address % 4096);
  }

  /** The device's page behind an address on one of the table's pages. */
  #page(address: number): Uint8Array {
    const mfn = frameOf(this.#msix.tableAddress) + frameOf(address) - frameOf(this.address);
    return this.#host.memory.page(DOMID_IO, mfn);
  }
}
