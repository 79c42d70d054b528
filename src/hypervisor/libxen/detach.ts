/** Taking an ArrayBuffer's memory away from it in plain JavaScript: after that all its views have length 0. */

/** @throws Error when the buffer still has its memory */
export function detach(buffer: ArrayBuffer): void {
  const { transfer } = buffer as { transfer?: () => ArrayBuffer };
  if (transfer) transfer.call(buffer);
  else giveToStream(buffer);
  if (buffer.byteLength !== 0) throw new Error('the memory of a closed mapping could not be detached');
}

/**
 * Node 20 has no `transfer()`, and refuses to post memory that is not its own. But a byte stream takes the buffer that
 * it is to fill over at once. This one fills nothing, and nobody keeps it.
 */
function giveToStream(buffer: ArrayBuffer): void {
  const reader = new ReadableStream({ type: 'bytes' }).getReader({ mode: 'byob' });
  void reader.read(new Uint8Array(buffer));
}
