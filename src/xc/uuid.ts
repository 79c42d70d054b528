/** A domain's handle is 16 bytes that are written as a UUID, first byte first. */

const PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The handle of a domain that was given none. */
export const NO_UUID = '00000000-0000-0000-0000-000000000000';

/** 16 bytes as `8-4-4-4-12` hexadecimal digits. */
export function formatUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, 16).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Checks a UUID. */
export function checkUuid(value: string, name: string): void {
  if (typeof value === 'string' && PATTERN.test(value)) return;
  const shown = typeof value === 'string' ? JSON.stringify(value) : typeof value;
  throw new TypeError(`${name} must be a UUID such as "${NO_UUID}", not ${shown}`);
}

/** The 16 bytes of a checked UUID. */
export function parseUuid(value: string): Uint8Array {
  return Buffer.from(value.replaceAll('-', ''), 'hex');
}
