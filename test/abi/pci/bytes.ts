/** Configuration spaces for tests: a header, BARs and a list of capabilities, as bytes. */

export interface ConfigBytes {
  readonly vendor?: number;
  readonly command?: number;
  readonly headerType?: number;
  /** Raw registers, from BAR 0 on. */
  readonly bars?: readonly number[];
  /** Capabilities in the list's order, each with its bytes from the third on. */
  readonly capabilities?: readonly {
    readonly id: number;
    readonly offset: number;
    readonly body?: readonly number[];
  }[];
  readonly length?: number;
}

export function configBytes(wanted: ConfigBytes): Uint8Array {
  const { vendor = 0x8086, command = 6, headerType = 0, bars = [], capabilities = [], length = 256 } = wanted;
  const all = new Uint8Array(Math.max(length, 256));
  const view = new DataView(all.buffer);
  view.setUint16(0, vendor, true);
  view.setUint16(2, 0x10d3, true);
  view.setUint16(4, command, true);
  view.setUint16(6, capabilities.length > 0 ? 0x10 : 0, true);
  view.setUint8(0xe, headerType);
  for (const [index, bar] of bars.entries()) view.setUint32(0x10 + index * 4, bar >>> 0, true);
  view.setUint8((headerType & 0x7f) === 2 ? 0x14 : 0x34, capabilities[0]?.offset ?? 0);
  for (const [index, { id, offset, body = [] }] of capabilities.entries()) {
    view.setUint8(offset, id);
    view.setUint8(offset + 1, capabilities[index + 1]?.offset ?? 0);
    all.set(body.slice(0, 256 - offset - 2), offset + 2);
  }
  return all.slice(0, length);
}

/** The MSI-X capability's bytes behind its id and next pointer. */
export function msixBody(control: number, table: number, pba: number): number[] {
  const bytes = new Uint8Array(10);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, control, true);
  view.setUint32(2, table >>> 0, true);
  view.setUint32(6, pba >>> 0, true);
  return [...bytes];
}
