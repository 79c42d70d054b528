/** The indented lines that `lspci -v` and `-vv` write about a device. Those that say nothing of use are passed over. */

import type { Region, SpokenMsix } from './function.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What the lines have said so far. */
export interface Fields {
  readonly regions: Region[];
  /** The text is verbose about this device. */
  verbose: boolean;
  /** The list of capabilities is there, or it is said that there is none. */
  listed: boolean;
  /** The first MSI-X capability; its table and PBA follow on lines of their own. */
  msix?: Mutable<SpokenMsix>;
  decodes?: boolean;
  driver?: string;
  iommuGroup?: number;
  irq?: number;
}

const REGION = /^\tRegion ([0-5]): (?:\[virtual\] )?(Memory|I\/O ports) at (?:([0-9a-f]+)|<[a-z0-9-]+>)(.*)$/;
const SIZE = /\[size=(\d+)([KMGT]?)\]/;
const UNITS: Readonly<Record<string, bigint>> = { '': 1n, K: 1n << 10n, M: 1n << 20n, G: 1n << 30n, T: 1n << 40n };

const MSIX = /^\tCapabilities: \[[0-9a-f]+\] MSI-X: Enable([+-]) Count=(\d+) Masked([+-])/;
const MSIX_PLACE = /^\t\t(Vector table|PBA): BAR=([0-7]) offset=([0-9a-f]{8})/;

/** Reads one line. */
export function readField(line: string, fields: Fields): void {
  if (line.charCodeAt(0) !== 0x09) return;
  if (line.startsWith('\tRegion')) readRegion(line, fields.regions);
  else if (line.startsWith('\tCapabilities: ')) readCapability(line, fields);
  else if (fields.msix && line.startsWith('\t\t')) readPlace(line, fields.msix);
  else readFact(line, fields);
}

function readRegion(line: string, regions: Region[]): void {
  const found = REGION.exec(line);
  if (!found || regions.some(({ index }) => index === Number(found[1]))) return;
  const [, index, kind, address, rest = ''] = found;
  const [, digits, unit = ''] = SIZE.exec(rest) ?? [];
  regions.push({
    index: Number(index),
    kind: kind === 'Memory' ? 'memory' : 'io',
    address: address === undefined ? null : BigInt(`0x${address}`),
    size: digits === undefined ? null : BigInt(digits) * (UNITS[unit] ?? 1n),
    virtual: line.includes('[virtual]'),
  });
}

function readCapability(line: string, fields: Fields): void {
  if (line.includes('<access denied>')) return;
  fields.listed = true;
  const found = MSIX.exec(line);
  if (!found || fields.msix) return;
  const none = { bir: -1, offset: 0 };
  fields.msix = {
    vectors: Number(found[2]),
    enabled: found[1] === '+',
    maskAll: found[3] === '+',
    table: none,
    pba: none,
  };
}

function readPlace(line: string, msix: Mutable<SpokenMsix>): void {
  const [, which, bir, offset = ''] = MSIX_PLACE.exec(line) ?? [];
  if (which === undefined) return;
  msix[which === 'PBA' ? 'pba' : 'table'] = { bir: Number(bir), offset: Number.parseInt(offset, 16) };
}

function readFact(line: string, fields: Fields): void {
  const at = line.indexOf(': ');
  const value = line.slice(at + 2);
  switch (line.slice(1, at)) {
    case 'Control':
      fields.verbose = true;
      fields.decodes = value.includes('Mem+');
      return;
    case 'Status':
      // without a list there is nothing that could be denied
      if (value.startsWith('Cap-')) fields.listed = true;
      return;
    case 'Kernel driver in use':
      fields.driver = value.replace(/\p{Cc}/gu, '');
      return;
    case 'IOMMU group':
      if (/^\d+$/.test(value)) fields.iommuGroup = Number(value);
      return;
    case 'Interrupt': {
      const irq = /routed to IRQ (\d+)/.exec(value)?.[1];
      if (irq !== undefined && irq !== '0') fields.irq = Number(irq);
    }
  }
}
