/** How often each kind of event has come, and what the last was. */

import type { MonitorEvent, MonitorReason } from '../../vmi/monitor/event.js';
import { type Style, table } from '../style.js';

interface Row {
  count: number;
  /** At the last look, for the rate. */
  before: number;
  rate: number;
  last: string;
}

/** What an event says beside its head, as text. */
export function detailText(event: MonitorEvent): string {
  return Object.entries(event.details())
    .map(
      ([name, value]) => `${name} ${name === 'gfn' || name === 'offset' ? `0x${Number(value).toString(16)}` : value}`,
    )
    .join('  ');
}

export class Tally {
  readonly #rows = new Map<MonitorReason, Row>();
  #lookedAt = performance.now();
  total = 0;

  add(event: MonitorEvent): void {
    let row = this.#rows.get(event.reason);
    if (!row) {
      row = { count: 0, before: 0, rate: 0, last: '' };
      this.#rows.set(event.reason, row);
    }
    row.count++;
    row.last = `vcpu ${event.vcpu}  view ${event.altp2mIdx}  ${detailText(event)}`;
    this.total++;
  }

  /** Counts the rates anew: events a second since the last time. */
  look(): void {
    const now = performance.now();
    const seconds = Math.max(0.001, (now - this.#lookedAt) / 1000);
    this.#lookedAt = now;
    for (const row of this.#rows.values()) {
      row.rate = (row.count - row.before) / seconds;
      row.before = row.count;
    }
  }

  lines(style: Style, columns: number, rates: boolean): string[] {
    if (this.#rows.size === 0) return [style.quiet('no events')];
    const head = ['REASON', 'EVENTS', ...(rates ? ['PER SECOND'] : []), 'LAST'];
    const rows = [...this.#rows].map(([reason, { count, rate, last }]) => [
      reason,
      String(count),
      ...(rates ? [rate.toFixed(0)] : []),
      last,
    ]);
    const right = rates ? [1, 2] : [1];
    const [heading = '', ...body] = table([head, ...rows], right);
    return [style.heading(heading), ...body].map((line) =>
      line.length > columns + 8 ? `${line.slice(0, columns - 1)}…` : line,
    );
  }
}
