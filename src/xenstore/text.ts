/** Texts in payloads: each ends with a NUL. */

const NUL = Uint8Array.of(0);

/** `a\0b\0` of `a`, `b`; a last piece of bytes gets no NUL. */
export function joined(texts: readonly string[], last?: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = texts.flatMap((text) => [Buffer.from(text), NUL]);
  if (last) parts.push(last);
  return Buffer.concat(parts);
}

/** The texts of a payload. One that has no NUL at its end counts, too: daemons differ there. */
export function strings(payload: Uint8Array): string[] {
  const texts = ascii(payload).split('\0');
  if (texts.at(-1) === '') texts.pop();
  return texts;
}

/** A payload as text, byte by byte: what is not ASCII survives as it is. */
export function ascii(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('latin1');
}
