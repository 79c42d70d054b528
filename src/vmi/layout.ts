/** Structures in guest memory: which field is where, and what it is. */

/** `[offset]` in bytes, then what is there; `string` (up to a NUL) and `bytes` with their length. */
export type FieldSpec =
  | readonly [offset: number, kind: 'u8' | 'u16' | 'u32' | 'i8' | 'i16' | 'i32' | 'u64' | 'i64' | 'pointer']
  | readonly [offset: number, kind: 'string' | 'bytes', length: number];

/** A structure's fields by name. Those that are not named are not read. */
export type Layout = Readonly<Record<string, FieldSpec>>;

type FieldValue<F extends FieldSpec> = F[1] extends 'u64' | 'i64' | 'pointer'
  ? bigint
  : F[1] extends 'string'
    ? string
    : F[1] extends 'bytes'
      ? Uint8Array
      : number;

/** What {@link Memory.struct} gives: a value for each field. */
export type LayoutValues<L extends Layout> = { readonly [K in keyof L]: FieldValue<L[K]> };

const SIZES = { u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, u64: 8, i64: 8 } as const;

function sizeOf(spec: FieldSpec, pointerBytes: 4 | 8): number {
  const [, kind, length] = spec;
  if (length !== undefined) return length;
  return kind === 'pointer' ? pointerBytes : SIZES[kind as keyof typeof SIZES];
}

/** The bytes that hold all fields. */
export function layoutSize(layout: Layout, pointerBytes: 4 | 8): { readonly first: number; readonly size: number } {
  const specs = Object.values(layout);
  const first = Math.min(...specs.map(([offset]) => offset));
  const end = Math.max(...specs.map((spec) => spec[0] + sizeOf(spec, pointerBytes)));
  return specs.length === 0 ? { first: 0, size: 0 } : { first, size: end - first };
}

/** @param first offset of the first of the bytes in the structure */
export function readLayout<L extends Layout>(
  bytes: Uint8Array,
  first: number,
  layout: L,
  pointerBytes: 4 | 8,
): LayoutValues<L> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries = Object.entries(layout).map(([name, spec]) => [
    name,
    value(view, spec[0] - first, spec, pointerBytes),
  ]);
  return Object.fromEntries(entries) as LayoutValues<L>;
}

function value(
  view: DataView,
  at: number,
  spec: FieldSpec,
  pointerBytes: 4 | 8,
): number | bigint | string | Uint8Array {
  const [, kind, length = 0] = spec;
  switch (kind) {
    case 'u8':
      return view.getUint8(at);
    case 'i8':
      return view.getInt8(at);
    case 'u16':
      return view.getUint16(at, true);
    case 'i16':
      return view.getInt16(at, true);
    case 'u32':
      return view.getUint32(at, true);
    case 'i32':
      return view.getInt32(at, true);
    case 'u64':
      return view.getBigUint64(at, true);
    case 'i64':
      return view.getBigInt64(at, true);
    case 'pointer':
      return pointerBytes === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
    case 'bytes':
      return new Uint8Array(view.buffer, view.byteOffset + at, length).slice();
    case 'string': {
      const all = new Uint8Array(view.buffer, view.byteOffset + at, length);
      const end = all.indexOf(0);
      return new TextDecoder().decode(end < 0 ? all : all.subarray(0, end));
    }
  }
}
