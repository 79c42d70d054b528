/** What is wrong with a recording itself, as opposed to an answer that differs from the recorded one. */

/** A recording does not say what it must, or says something that nobody knows. The message begins with the place. */
export class RecordingError extends Error {
  override readonly name = 'RecordingError';
}
