/** What generated sequences are made of: frames, views, accesses, and lists of steps. */

import fc from 'fast-check';
import type { RawStep } from './steps.js';

/** Frames that always have memory, frames that come and go, one that never has any, and the code that is called. */
export const STABLE = [0x40, 0x41, 0x43] as const;
export const FICKLE = [0x44, 0x45] as const;
export const HOLE = 0x180;
export const CODE = 0x47;
export const VE_PAGES = [0x50, 0x51] as const;
/** Returns 0x12345678. */
export const CODE_BYTES = 'b878563412c3';

export const usually = <T>(value: T, others: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: others });

export const view = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 0, max: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom(4, 9, 10, 511, 512, 0xffff) },
);
export const anyFrame = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom<number>(...STABLE) },
  { weight: 4, arbitrary: fc.constantFrom<number>(...FICKLE) },
  { weight: 1, arbitrary: fc.constant(HOLE) },
);
export const accessed = fc.oneof({ weight: 8, arbitrary: anyFrame }, { weight: 1, arbitrary: fc.constant(CODE) });
/** Without w and wx, which EPT cannot express: the guest's next access would end its domain, and the sequence. */
export const access = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom(0, 1, 3, 4, 5, 7, 8, 9, 10) },
  { weight: 1, arbitrary: fc.constantFrom(2, 6, 11, 255) },
);
export const bit = fc.integer({ min: 0, max: 1 });
export const steps = (...made: RawStep[]): readonly RawStep[] => made;
export const one = (arbitrary: fc.Arbitrary<RawStep>): fc.Arbitrary<readonly RawStep[]> =>
  arbitrary.map((step) => [step]);

/** Steps that are likelier than others. */
export type Choices = readonly fc.WeightedArbitrary<readonly RawStep[]>[];
