/** Numbers as the pci commands print them. */

export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `16 KiB`. */
export function sizeText(bytes: bigint): string {
  let unit = 0;
  while (bytes >= 1024n && bytes % 1024n === 0n && unit < UNITS.length - 1) {
    bytes /= 1024n;
    unit++;
  }
  return `${bytes} ${UNITS[unit]}`;
}

/** Base classes, as the PCI Code and ID Assignment Specification names them. */
const CLASSES: Readonly<Record<string, string>> = {
  '00': 'unclassified device',
  '01': 'mass storage controller',
  '02': 'network controller',
  '03': 'display controller',
  '04': 'multimedia device',
  '05': 'memory controller',
  '06': 'bridge',
  '07': 'communication controller',
  '08': 'system peripheral',
  '09': 'input device',
  '0a': 'docking station',
  '0b': 'processor',
  '0c': 'serial bus controller',
  '0d': 'wireless controller',
  '0e': 'intelligent controller',
  '0f': 'satellite communication controller',
  '10': 'encryption controller',
  '11': 'signal processing controller',
  '12': 'processing accelerator',
};

/** What a device is by its class, `0200`, where nobody has named it. */
export function classText(of: string): string {
  return CLASSES[of.slice(0, 2)] ?? `class ${of}`;
}
