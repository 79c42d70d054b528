/** The events of a session as an async iterable: a promise for each, which is made only when nothing is there yet. */

import type { MonitorEnd } from './domain_end.js';
import type { MonitorEvent } from './event.js';

/** What the iterator needs of a session. */
export interface EventSource {
  /** Has `wake` called when there may be events, and when the session has ended. */
  attach(wake: () => void): void;
  /** The next event, or null. Throws when the ring cannot be used any more. */
  take(): MonitorEvent | null;
  close(): Promise<void>;
  ended(): MonitorEnd | null;
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

export function eventsOf(source: EventSource): AsyncIterableIterator<MonitorEvent> {
  let wake: () => void = () => {};
  source.attach(() => wake());
  const next = async (): Promise<IteratorResult<MonitorEvent, undefined>> => {
    for (;;) {
      const end = source.ended();
      if (end) return DONE;
      const value = source.take();
      if (value) return { done: false, value };
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  // next() may be called again before the last promise is settled: events are given out in order
  let last: Promise<unknown> = Promise.resolve();
  return {
    next() {
      const result = last.then(next);
      last = result.catch(() => {});
      return result;
    },
    async return() {
      await source.close();
      return DONE;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
