/** Saying of many packets what their checksums are, and completing those that are partial. */

import { loadAddon } from '../native/load.js';
import { PacketBatch } from './capture/batch.js';
import { PacketView, VERDICTS, type Verdict } from './packet.js';
import { CHECKSUM_STATES, type ChecksumState, classifyChecksum, finishChecksum } from './state.js';

/** Packets by what their checksum is. */
export type ChecksumCounts = Readonly<Record<ChecksumState, number>>;

export class ChecksumClassifier {
  readonly #native;
  readonly #view = new PacketView();
  readonly #states: Uint8Array = new Uint8Array(PacketBatch.CAPACITY);
  readonly #verdicts = new Uint32Array(VERDICTS.length);
  readonly #totals = new Float64Array(CHECKSUM_STATES.length);
  readonly #reasons = VERDICTS.map(() => 0);

  /** @param engine `typescript`: not the native addon, though there is one */
  constructor(engine: 'native' | 'typescript' = 'native') {
    this.#native = engine === 'native' ? loadAddon().addon : null;
  }

  get counts(): ChecksumCounts {
    const [good = 0, partial = 0, corrupt = 0, none = 0, other = 0] = this.#totals;
    return { good, partial, corrupt, none, other };
  }

  /** Why the parser took no further look, and how often; reasons that there were none of are left out. */
  get reasons(): Readonly<Partial<Record<Verdict, number>>> {
    const some = VERDICTS.map((verdict, i) => [verdict, this.#reasons[i] ?? 0] as const);
    return Object.fromEntries(some.filter(([verdict, count]) => verdict !== 'ok' && count > 0));
  }

  /**
   * Classifies the packets of a batch.
   *
   * @param finish completes those that are partial
   */
  classify(bytes: Uint8Array, batch: PacketBatch, finish = false): void {
    const { places, count } = batch;
    this.#verdicts.fill(0);
    if (this.#native) {
      const rc = this.#native.classifyPackets(bytes, places, count, finish, this.#states, this.#verdicts);
      if (rc !== 0) throw new RangeError('a packet does not lie in the bytes');
    } else {
      this.#classify(bytes, batch, finish);
    }
    const [states, totals] = [this.#states, this.#totals];
    for (let i = 0; i < count; i++) {
      const state = states[i] as number;
      totals[state] = (totals[state] as number) + 1;
    }
    for (let i = 0; i < VERDICTS.length; i++) (this.#reasons[i] as number) += this.#verdicts[i] as number;
  }

  #classify(bytes: Uint8Array, { places, count }: PacketBatch, finish: boolean): void {
    const view = this.#view;
    for (let i = 0; i < count; i++) {
      const [offset, length, linkType] = [places[3 * i], places[3 * i + 1], places[3 * i + 2]] as [
        number,
        number,
        number,
      ];
      (this.#verdicts[VERDICTS.indexOf(view.parse(bytes, offset, length, linkType))] as number)++;
      const state = classifyChecksum(view);
      this.#states[i] = CHECKSUM_STATES.indexOf(state);
      if (finish && state === 'partial') finishChecksum(view);
    }
  }

  /** What the checksum of a packet of the last batch was. */
  state(i: number): ChecksumState {
    return CHECKSUM_STATES[this.#states[i] as number] as ChecksumState;
  }
}
