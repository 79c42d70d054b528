/**
 * A PCI function's address as one number, as Xen's `pci_sbdf_t` has it:
 * segment << 16 | bus << 8 | device << 3 | function. Xen's segments have 16 bits; Linux numbers those of Intel's VMD
 * controllers from 0x10000, so that an address read from a dump may have more.
 */

const SBDF = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/i;

/** Reads `ssss:bb:dd.f`, or `bb:dd.f` in segment 0 (as lspci prints it); undefined: the text is neither. */
export function parseSbdf(text: string): number | undefined {
  const [, segment = '0', bus = '', device = '', fn = ''] = SBDF.exec(text) ?? [];
  if (bus === '') return undefined;
  const hex = (digits: string): number => Number.parseInt(digits, 16);
  return sbdfOf(hex(segment), hex(bus), (hex(device) << 3) | hex(fn));
}

/** Prints `ssss:bb:dd.f`, the name of the device's directory in sysfs. */
export function formatSbdf(sbdf: number): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  const devfn = sbdfDevfn(sbdf);
  return `${hex(sbdfSegment(sbdf), 4)}:${hex(sbdfBus(sbdf), 2)}:${hex(devfn >> 3, 2)}.${devfn & 7}`;
}

/** Puts an address together. `devfn` is device << 3 | function. */
export function sbdfOf(segment: number, bus: number, devfn: number): number {
  return segment * 0x1_0000 + (bus << 8) + devfn;
}

export function sbdfSegment(sbdf: number): number {
  return Math.floor(sbdf / 0x1_0000);
}

export function sbdfBus(sbdf: number): number {
  return (sbdf >>> 8) & 0xff;
}

/** Device << 3 | function. */
export function sbdfDevfn(sbdf: number): number {
  return sbdf & 0xff;
}
