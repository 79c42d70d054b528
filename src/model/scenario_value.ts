/** Readers of single values of a scenario; each knows the place that it reads, for the message. */

/** A scenario file does not say what it must. The message begins with the place. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
}

/** How each member of an object is read. */
export type Fields<T> = { readonly [K in keyof T]-?: (value: unknown, at: string) => Exclude<T[K], undefined> };

/** Place of a member. */
export function place(at: string, key: string): string {
  if (at === '') return key;
  return /^[\w$]+$/.test(key) ? `${at}.${key}` : `${at}[${JSON.stringify(key)}]`;
}

/** Throws the error of a value that is not as it must be. */
export function wrong(at: string, value: unknown, wanted: string): never {
  throw new ScenarioError(`${at || 'the scenario'} must be ${wanted}, not ${shown(value)}`);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 40)}...` : text;
}

/** Reads an object; members that nobody knows are mistakes. */
export function record<T extends object>(value: unknown, at: string, fields: Fields<T>): Partial<T> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrong(at, value, 'an object');
  const read: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) {
    if (!Object.hasOwn(fields, key)) {
      throw new ScenarioError(`${place(at, key)} is unknown here; known are ${Object.keys(fields).join(', ')}`);
    }
    read[key] = fields[key as keyof T](member, place(at, key));
  }
  return read as Partial<T>;
}

/** Reads a list. */
export function listValue(value: unknown, at: string, most: number): readonly unknown[] {
  if (!Array.isArray(value)) return wrong(at, value, 'a list');
  if (value.length > most) throw new ScenarioError(`${at} has ${value.length} entries; at most ${most} can be`);
  return value;
}

export function booleanValue(value: unknown, at: string): boolean {
  return typeof value === 'boolean' ? value : wrong(at, value, 'true or false');
}

/** A reader of integers in a range, both ends included. */
export function integerValue(least: number, most: number): (value: unknown, at: string) => number {
  return (value, at) =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
      ? value
      : wrong(at, value, `an integer from ${least} to ${most}`);
}

/** A reader of one of some words. */
export function oneOf<T extends string>(words: readonly T[]): (value: unknown, at: string) => T {
  return (value, at) => words.find((word) => word === value) ?? wrong(at, value, words.map((w) => `"${w}"`).join(', '));
}

export function uuidValue(value: unknown, at: string): string {
  const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
  return typeof value === 'string' && uuid.test(value) ? value : wrong(at, value, 'a UUID');
}
