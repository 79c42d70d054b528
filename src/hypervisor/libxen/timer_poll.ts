/** Calling a listener while something holds, where nothing can tell when it comes to hold. */

const SHORTEST = 1;
const LONGEST = 10;

/**
 * Looks by a timer, which keeps the process alive: every millisecond while something happens, every ten while nothing
 * does.
 *
 * @returns what ends it
 */
export function callByTimer(holds: () => boolean, listener: () => void): () => void {
  let delay = SHORTEST;
  let ended = false;
  const look = (): void => {
    const now = holds();
    delay = now ? SHORTEST : Math.min(delay * 2, LONGEST);
    try {
      if (now) listener();
    } finally {
      if (!ended) timer = setTimeout(look, delay);
    }
  };
  let timer = setTimeout(look, delay);
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}
