/**
 * The protection of MSI-X tables as it was posted in July 2010, fault by fault, for tests that show what each fix
 * changes. The numbers are those of docs/msix-review.md.
 */

const ITEMS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15] as const;

/** A fault of the patch that is about behaviour. */
export type MsixAsPosted = (typeof ITEMS)[number];

/** Faults that are about checks of allocations, leftovers and return values: there is no behaviour to go back to. */
const WITHOUT_BEHAVIOUR: readonly unknown[] = [12, 13, 16, 17];

/** For each fault, whether the code has it. */
export type MsixPosted = Readonly<Record<MsixAsPosted, boolean>>;

/** @throws RangeError for what is no fault, and for those without behaviour */
export function msixPosted(items: readonly MsixAsPosted[]): MsixPosted {
  for (const item of items) {
    if (WITHOUT_BEHAVIOUR.includes(item)) {
      throw new RangeError(`asPosted: fault ${item} has no behaviour to go back to`);
    }
    if (!ITEMS.includes(item)) throw new RangeError(`asPosted: there is no fault ${String(item)}`);
  }
  return Object.fromEntries(ITEMS.map((item) => [item, items.includes(item)])) as MsixPosted;
}
