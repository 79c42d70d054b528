/**
 * Bad input for every public method: a TypeError or a RangeError, and Xen has not been asked anything. A method without a
 * row here fails the last test.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { Altp2m } from '#dist/xen/altp2m.js';
import { Domain } from '#dist/xen/domain.js';
import { Vcpu } from '#dist/xen/vcpu.js';
import { View } from '#dist/xen/view.js';
import { Xen } from '#dist/xen/xen.js';
import { setting } from './watched.js';

type Bad = fc.Arbitrary<unknown>;
type Method = (...args: unknown[]) => unknown;

const things = fc.constantFrom<unknown>(null, '', 'x', {}, [], true, () => 1, Symbol('s'), new Date(0));
const numbers = fc.oneof(
  fc.constantFrom<unknown>(Number.NaN, Number.POSITIVE_INFINITY, -0.5, 1e300),
  fc.integer({ max: -1 }),
  fc.double({ noInteger: true, noNaN: true }),
);
const above = (most: number): Bad => fc.integer({ min: most + 1, max: Math.max(most + 1, 2 ** 53 - 1) });
const missing = fc.constant(undefined);
const notU32 = fc.oneof(missing, things, numbers, above(0xffff_ffff), fc.bigInt());
const notU16 = fc.oneof(missing, things, numbers, above(0xffff), fc.bigInt());
const notU8 = fc.oneof(things, numbers, above(0xff), fc.bigInt());
const notU64 = fc.oneof(missing, things, numbers, fc.constantFrom<unknown>(2 ** 53, -1n, 2n ** 64n));
const notFrame = fc.oneof(notU64, fc.constant(2n ** 64n - 1n));
const notFlag = fc.constantFrom<unknown>(0, 1, 'true', null, {}, Number.NaN);
const notAccess = fc.oneof(
  missing,
  numbers,
  above(0xff),
  fc.constantFrom<unknown>(null, '', 'RWX', 'toString', {}, Symbol('s'), 7n),
);
const notFrames = fc.oneof(
  missing,
  things.filter((one) => !Array.isArray(one)),
  fc.array(notU64, { minLength: 1, maxLength: 3 }),
);
const notObject = fc.constantFrom<unknown>(null, 1, 'x', [], Symbol('s'));
const notAsync = fc.oneof(
  notObject,
  fc.constantFrom<unknown>({ signal: 1 }, { signal: {} }, { onProgress: 1 }, { onProgress: 'x' }),
);
const options = (name: string, bad: Bad): Bad =>
  fc.oneof(
    notObject,
    bad.map((value) => ({ [name]: value })),
  );
const definedAccess = notAccess.filter((one) => one !== undefined);

/** By class, then by method: good arguments, and for some the values that must be refused in their place. */
type Row = readonly { readonly good: unknown; readonly bad?: Bad }[];
type Rows = Readonly<Record<string, Row>>;

const frame = { good: 5, bad: notFrame };
const frames = { good: [1, 2], bad: notFrames };
const access = { good: 'r', bad: notAccess };
const awaited = { good: {}, bad: notAsync };
const order = { good: 0, bad: notU8 };

const DOMAIN: Rows = {
  info: [],
  pause: [],
  unpause: [],
  destroy: [],
  context: [],
  shutdown: [{ good: 'crash', bad: fc.oneof(things, numbers) }],
  destroyAsync: [awaited],
  rename: [{ good: '01234567-89ab-cdef-0123-456789abcdef', bad: fc.oneof(missing, things, numbers) }],
  param: [{ good: 1, bad: notU32 }],
  setParam: [
    { good: 1, bad: notU32 },
    { good: 1, bad: notU64 },
  ],
  map: [frames, { good: {}, bad: options('write', notFlag) }],
  setMaxMemory: [{ good: 1, bad: notU64 }],
  populate: [frames, order],
  populateAsync: [frames, order, awaited],
  depopulate: [frames, order],
  setPagingPool: [{ good: 4096, bad: notU64 }],
  setContext: [{ good: new Uint8Array(8), bad: fc.oneof(missing, things, numbers) }],
  setAccessRequired: [{ good: true, bad: notFlag }],
  vcpu: [{ good: 0, bad: notU16 }],
};

const VCPU: Rows = {
  info: [],
  registers: [],
  context: [],
  setContext: [{ good: null, bad: fc.oneof(missing, numbers, fc.constantFrom<unknown>('x', [], {}, true)) }],
  singleStep: [{ good: true, bad: notFlag }],
};

const ALTP2M: Rows = {
  enable: [],
  disable: [],
  views: [],
  viewOfEach: [],
  createView: [{ good: {}, bad: fc.oneof(options('defaultAccess', definedAccess), options('visible', notFlag)) }],
  view: [{ good: 0, bad: notU16 }],
  switchTo: [{ good: 0, bad: notU16 }],
  viewOf: [{ good: 0, bad: notU32 }],
  enableNotify: [
    { good: 0, bad: notU32 },
    { good: 1, bad: notU64 },
  ],
  disableNotify: [{ good: 0, bad: notU32 }],
  setHostDefaultAccess: [access],
};

const VIEW: Rows = {
  hide: [],
  show: [],
  switchTo: [],
  forget: [],
  destroy: [{ good: {}, bad: options('evict', notFlag) }],
  getAccess: [frame],
  setAccess: [frame, access],
  setAccessOf: [
    frames,
    { good: 'r', bad: fc.oneof(notAccess, fc.constantFrom<unknown>(['r'], [], new Uint8Array(3))) },
  ],
  setAccessOfAsync: [frames, { good: 'r', bad: fc.oneof(notAccess, fc.constantFrom<unknown>(['r', 'q'])) }, awaited],
  remap: [frame, frame],
  unremap: [frame],
  setSuppressVe: [frame, { good: true, bad: notFlag }],
  getSuppressVe: [frame],
  setSuppressVeRange: [frame, { good: 9, bad: notU64 }, { good: true, bad: notFlag }],
};

const XEN: Rows = {
  info: [],
  list: [],
  domains: [],
  close: [],
  domain: [{ good: 0, bad: fc.oneof(missing, things, numbers, above(0xffff)) }],
  createDomain: [
    {
      good: {},
      bad: options(
        'vcpus',
        notU32.filter((one) => one !== undefined),
      ),
    },
  ],
};

function isRefusal(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError;
}

async function refused(target: object, name: string, args: readonly unknown[]): Promise<void> {
  const method = (target as Record<string, Method>)[name];
  assert.ok(method);
  let result: unknown;
  try {
    result = method.apply(target, [...args]);
  } catch (error) {
    assert.ok(isRefusal(error), `${name}: ${String(error)}`);
    return;
  }
  assert.ok(result instanceof Promise, `${name} took ${inspect(args)}`);
  await assert.rejects(result, isRefusal);
}

const kinds = [
  ['Domain', DOMAIN, Domain],
  ['Vcpu', VCPU, Vcpu],
  ['Altp2m', ALTP2M, Altp2m],
  ['View', VIEW, View],
  ['Xen', XEN, Xen],
] as const;

for (const [kind, rows] of kinds) {
  for (const [name, row] of Object.entries(rows)) {
    row.forEach(({ bad }, place) => {
      if (!bad) return;
      test(`${kind}.${name}: argument ${place + 1}`, async () => {
        const { model, xen, domain } = setting();
        const views = { Altp2m: domain.altp2m, View: domain.altp2m.createView() };
        const targets = { Domain: domain, Vcpu: domain.vcpu(0), ...views, Xen: xen };
        model.calls = 0;
        await fc.assert(
          fc.asyncProperty(bad, async (value) => {
            await refused(
              targets[kind],
              name,
              row.with(place, { good: value }).map(({ good }) => good),
            );
          }),
          { numRuns: 60 },
        );
        assert.equal(model.calls, 0, 'Xen was asked');
      });
    });
  }
}

test('every public method has a row', () => {
  for (const [kind, rows, { prototype }] of kinds) {
    const methods = Object.entries(Object.getOwnPropertyDescriptors(prototype)).flatMap(([name, { value }]) =>
      typeof value === 'function' && name !== 'constructor' ? [name] : [],
    );
    assert.deepEqual(methods.sort(), Object.keys(rows).sort(), kind);
  }
});
