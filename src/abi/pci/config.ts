/**
 * PCI configuration space: registers, and the lists of capabilities, over bytes that may be anything. What is read may
 * be short (an ordinary user gets 64 bytes from sysfs), all ones (the device is gone or in D3cold) or written by
 * someone who wishes no good: nothing here reads beyond the bytes or goes round in a list. Names as in Linux's
 * `pci_regs.h`.
 */

export const PCI_VENDOR_ID = 0x00;
export const PCI_DEVICE_ID = 0x02;
export const PCI_COMMAND = 0x04;
export const PCI_COMMAND_IO = 0x1;
export const PCI_COMMAND_MEMORY = 0x2;
export const PCI_COMMAND_MASTER = 0x4;
export const PCI_STATUS = 0x06;
export const PCI_STATUS_CAP_LIST = 0x10;
export const PCI_REVISION_ID = 0x08;
export const PCI_CLASS_PROG = 0x09;
export const PCI_CLASS_DEVICE = 0x0a;
export const PCI_HEADER_TYPE = 0x0e;
export const PCI_HEADER_TYPE_NORMAL = 0;
export const PCI_HEADER_TYPE_BRIDGE = 1;
export const PCI_HEADER_TYPE_CARDBUS = 2;
export const PCI_BASE_ADDRESS_0 = 0x10;
export const PCI_SUBSYSTEM_VENDOR_ID = 0x2c;
export const PCI_SUBSYSTEM_ID = 0x2e;
export const PCI_CAPABILITY_LIST = 0x34;
/** Where a CardBus bridge has {@link PCI_CAPABILITY_LIST}. */
export const PCI_CB_CAPABILITY_LIST = 0x14;
export const PCI_INTERRUPT_LINE = 0x3c;
export const PCI_INTERRUPT_PIN = 0x3d;

/** Bytes of the standard header, of the space that PCI has, and of the space that PCI Express has. */
export const PCI_STD_HEADER_SIZEOF = 64;
export const PCI_CFG_SPACE_SIZE = 256;
export const PCI_CFG_SPACE_EXP_SIZE = 4096;

export const PCI_CAP_ID_PM = 0x01;
export const PCI_CAP_ID_MSI = 0x05;
export const PCI_CAP_ID_EXP = 0x10;
export const PCI_CAP_ID_MSIX = 0x11;
export const PCI_CAP_ID_AF = 0x13;
export const PCI_EXT_CAP_ID_SRIOV = 0x10;

/** In {@link PCI_HEADER_TYPE}: the device has more than one function. The header's kind is in the other seven bits. */
const MULTI_FUNCTION = 0x80;

/** A little-endian register of 1, 2 or 4 bytes; undefined where the bytes end before it does. */
export function readConfig(config: Uint8Array, offset: number, bytes: 1 | 2 | 4): number | undefined {
  if (offset < 0 || offset + bytes > config.length) return undefined;
  let value = 0;
  for (let i = bytes - 1; i >= 0; i--) value = value * 256 + (config[offset + i] ?? 0);
  return value;
}

/** Why these bytes are no function's configuration space; undefined: they are one's, as far as the header tells. */
export function configProblem(config: Uint8Array): string | undefined {
  if (config.length < PCI_STD_HEADER_SIZEOF) {
    return `configuration space has ${config.length} bytes, fewer than the ${PCI_STD_HEADER_SIZEOF} of its header`;
  }
  const vendor = readConfig(config, PCI_VENDOR_ID, 2);
  // a virtual function has no vendor of its own either, but a header
  if (vendor === 0xffff && config[PCI_HEADER_TYPE] === 0xff) {
    return 'configuration space reads as all ones: the device is gone or powered off';
  }
  if (vendor === 0) return 'configuration space has no vendor';
  return undefined;
}

/** The header's kind: {@link PCI_HEADER_TYPE_NORMAL} and so on. */
export function headerType(config: Uint8Array): number {
  return (readConfig(config, PCI_HEADER_TYPE, 1) ?? 0x7f) & ~MULTI_FUNCTION;
}

export function isMultiFunction(config: Uint8Array): boolean {
  return ((readConfig(config, PCI_HEADER_TYPE, 1) ?? 0) & MULTI_FUNCTION) !== 0;
}

export interface Capability {
  readonly id: number;
  /** Of the capability in configuration space. */
  readonly offset: number;
}

export interface CapabilityList {
  /** In the list's order, up to where it breaks off. */
  readonly capabilities: readonly Capability[];
  /** What is wrong with the list. What it would have had behind that is not known. */
  readonly problem?: string;
}

const hex = (value: number): string => `0x${value.toString(16)}`;

/** Walks the list of capabilities. */
export function capabilityList(config: Uint8Array): CapabilityList {
  const capabilities: Capability[] = [];
  const bad = configProblem(config);
  if (bad !== undefined) return { capabilities, problem: bad };
  if (((readConfig(config, PCI_STATUS, 2) ?? 0) & PCI_STATUS_CAP_LIST) === 0) return { capabilities };
  const head = headerType(config) === PCI_HEADER_TYPE_CARDBUS ? PCI_CB_CAPABILITY_LIST : PCI_CAPABILITY_LIST;
  const seen = new Set<number>();
  let pointer = readConfig(config, head, 1) ?? 0;
  while (true) {
    const offset = pointer & ~3; // the low bits are reserved
    if (offset === 0) return { capabilities };
    if (offset < PCI_STD_HEADER_SIZEOF) {
      return { capabilities, problem: `the capability list leads into the header, to ${hex(offset)}` };
    }
    if (seen.has(offset)) {
      return { capabilities, problem: `the capability list comes back to ${hex(offset)}` };
    }
    seen.add(offset);
    const id = readConfig(config, offset, 1);
    const next = readConfig(config, offset + 1, 1);
    if (id === undefined || next === undefined) {
      const problem = `the capability list leads to ${hex(offset)}, but only ${config.length} bytes could be read`;
      return { capabilities, problem };
    }
    if (id === 0xff) return { capabilities, problem: `the capability at ${hex(offset)} reads as all ones` };
    capabilities.push({ id, offset });
    pointer = next;
  }
}

/** Walks the list of PCI Express's extended capabilities. Bytes that end with 256 have none, and that is no problem. */
export function extendedCapabilityList(config: Uint8Array): CapabilityList {
  const capabilities: Capability[] = [];
  const seen = new Set<number>();
  let offset = PCI_CFG_SPACE_SIZE;
  while (true) {
    const header = readConfig(config, offset, 4);
    if (header === undefined) {
      if (offset === PCI_CFG_SPACE_SIZE) return { capabilities };
      return { capabilities, problem: `the extended capabilities lead to ${hex(offset)}, beyond what could be read` };
    }
    if (offset === PCI_CFG_SPACE_SIZE && (header === 0 || header === 0xffff_ffff)) return { capabilities };
    if (header === 0xffff_ffff) {
      return { capabilities, problem: `the extended capability at ${hex(offset)} reads as all ones` };
    }
    seen.add(offset);
    capabilities.push({ id: header & 0xffff, offset });
    const next = (header >>> 20) & 0xffc;
    if (next === 0) return { capabilities };
    if (next < PCI_CFG_SPACE_SIZE) {
      return {
        capabilities,
        problem: `the extended capabilities lead to ${hex(next)}, below ${hex(PCI_CFG_SPACE_SIZE)}`,
      };
    }
    if (seen.has(next)) {
      return { capabilities, problem: `the extended capabilities come back to ${hex(next)}` };
    }
    offset = next;
  }
}
