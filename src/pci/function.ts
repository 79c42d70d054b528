/** What is known of PCI functions, wherever it comes from: a saved dump, a copy of sysfs, this machine, or the model. */

/** The expansion ROM's place among the regions. */
export const ROM = 6;

/** A BAR as the kernel has it: unlike the register, it has a size. */
export interface Region {
  /** Number of the BAR; {@link ROM}: the expansion ROM. */
  readonly index: number;
  readonly kind: 'memory' | 'io';
  /** Null: none is assigned. */
  readonly address: bigint | null;
  /** In bytes; null: not told. */
  readonly size: bigint | null;
  /** Not in the function's own registers: a virtual function's, which its physical function has. */
  readonly virtual: boolean;
}

/** What text says about MSI-X where there are no bytes of the capability. */
export interface SpokenMsix {
  readonly vectors: number;
  readonly enabled: boolean;
  readonly maskAll: boolean;
  readonly table: { readonly bir: number; readonly offset: number };
  readonly pba: { readonly bir: number; readonly offset: number };
}

/**
 * One PCI function as its source tells about it. A property that is undefined is not told; one that is null (or empty)
 * says that there is none.
 */
export interface PciFunction {
  /** As `pci_sbdf_t`: segment << 16 | bus << 8 | device << 3 | function. */
  readonly sbdf: number;
  /** What lspci calls it. */
  readonly label?: string;
  /** As much of configuration space as there is: 0, 64, 256 or 4096 bytes, or what a broken dump has. */
  readonly config: Uint8Array;
  /** Of text: what it says about the capability list. Null: that there is no MSI-X in it. */
  readonly spoken?: SpokenMsix | null;
  /** Of text: whether the function answers to memory addresses. */
  readonly decodes?: boolean;
  /** BARs as the kernel has them. */
  readonly regions?: readonly Region[];
  readonly driver?: string | null;
  readonly iommuGroup?: number | null;
  /** Names that the kernel has: flr, af_flr, pm, bus, acpi, device_specific. */
  readonly resetMethods?: readonly string[];
  /** The interrupt line as the kernel routes it (a GSI in dom0); null: none. */
  readonly irq?: number | null;
  /** How many MSI and MSI-X interrupts its driver has set up. */
  readonly msiIrqs?: number;
  /** The physical function of a virtual one. */
  readonly physfn?: number | null;
  /** The virtual functions of a physical one. */
  readonly virtfns?: readonly number[];
  /** D0, D3cold and so on. */
  readonly powerState?: string;
  /** What is wrong with the source's piece about this function. */
  readonly complaints: readonly string[];
}

/** The functions of a machine, in the order of their addresses, each once. */
export interface PciSnapshot {
  readonly functions: readonly PciFunction[];
  /** What is wrong with the source as a whole. */
  readonly complaints: readonly string[];
}
