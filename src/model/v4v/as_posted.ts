/**
 * The behaviour of V4V as it was posted, fault by fault, for tests that show what each fix changes. The numbers are
 * those of the review's comments in docs/v4v-review.md, the letters those of the faults found since.
 */

const ITEMS = [
  1,
  2,
  3,
  4,
  7,
  9,
  10,
  12,
  13,
  14,
  15,
  16,
  17,
  19,
  20,
  21,
  22,
  23,
  24,
  26,
  'a',
  'b',
  'c',
  'd',
  'e',
  'f',
  'g',
  'h',
] as const;

/** A comment of the review, or a later finding, that is about behaviour. */
export type AsPosted = (typeof ITEMS)[number];

/** Comments that are about names, comments or barriers: there is no behaviour to go back to. */
const WITHOUT_BEHAVIOUR: readonly unknown[] = [5, 6, 8, 11, 18, 25, 27, 28, 29, 30, 31, 32];

/** For each item, whether the code behaves as posted. */
export type Posted = Readonly<Record<AsPosted, boolean>>;

/** @throws RangeError for what is no item, and for items without behaviour */
export function posted(items: readonly AsPosted[]): Posted {
  for (const item of items) {
    if (WITHOUT_BEHAVIOUR.includes(item)) {
      throw new RangeError(
        `asPosted: item ${item} is about names, comments or barriers: it has no behaviour to go back to`,
      );
    }
    if (!ITEMS.includes(item)) throw new RangeError(`asPosted: there is no item ${String(item)}`);
  }
  return Object.fromEntries(ITEMS.map((item) => [item, items.includes(item)])) as Posted;
}

/** V4V as posted would hang the machine here: a lock that was never released is taken again. */
export class V4vHang extends Error {
  override readonly name = 'V4vHang';
}
