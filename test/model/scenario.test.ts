import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { modelAdapter } from '#dist/model/adapter.js';
import { DEFAULT_SCENARIO, parseScenario, runScenario, ScenarioError } from '#dist/model/index.js';

test('the default: one HVM guest, domain 1, mixed, two vCPUs; the adapter opens it, each time anew', () => {
  const { guests } = runScenario(DEFAULT_SCENARIO);
  assert.deepEqual(
    guests.map(({ name, guest }) => [name, guest.domid, guest.vcpus.length]),
    [['guest', 1, 2]],
  );
  assert.equal(guests[0]?.guest.domain.config.altp2mMode, 1);
  assert.equal(modelAdapter.unavailable(), null);
  assert.notEqual(modelAdapter.open(), modelAdapter.open());
});

test('an empty scenario: the machine alone', () => {
  const { xen, guests } = runScenario(parseScenario('{}'));
  assert.equal(xen.release, '4.17');
  assert.equal(guests.length, 0);
});

test('all of it: machine, guests, views', () => {
  const scenario = parseScenario(`\uFEFF{
    "release": "4.21", "altp2m": true, "shadow": true, "memoryPages": 1048576,
    "cpu": { "vendor": "intel", "hap": true, "vmfunc": false, "ve": true, "mtf": false, "maxphysaddr": 40 },
    "guests": [
      { "name": "a", "uuid": "01234567-89AB-cdef-0123-456789abcdef", "type": "hvm", "hap": true, "vcpus": 3,
        "memoryPages": 600, "pages": "4K", "altp2m": "limited", "nrAltp2m": 20, "nestedVirt": false, "paused": true,
        "views": [
          { "defaultAccess": "default", "visible": false, "access": { "0x10": "r_pw", "17": "n" }, "remap": { "18": "0x13" } },
          {}
        ] },
      { "name": "b", "type": "pv", "memoryPages": 4 }
    ]
  }`);
  const { xen, guests } = runScenario(scenario);
  assert.equal(xen.release, '4.21');
  assert.equal(xen.cpu.vmfunc, false);
  assert.equal(xen.cpu.maxphysaddr, 40);
  const [a, b] = guests.map(({ guest }) => guest.domain);
  assert.ok(a && b);
  assert.equal(a.pauseCount, 1);
  assert.equal(a.totPages, 600);
  assert.equal(a.altp2m.active, true);
  assert.deepEqual(
    a.altp2m.views.slice(0, 4).map((view) => view?.visible ?? null),
    [true, false, true, null],
  );
  const p2m = a.altp2m.view(1)?.p2m;
  assert.deepEqual([p2m?.lookup(0x10).access, p2m?.lookup(17).access], [10, 0]);
  assert.equal(p2m?.lookup(18).mfn, a.p2m.lookup(0x13).mfn);
  assert.equal(b.isHvm, false);
  assert.equal(b.pauseCount, 0);
});

test('single pages without end are refused before they are made', () => {
  const text = '{"guests": [{"pages": "4K", "memoryPages": 1000000000}]}';
  assert.throws(() => parseScenario(text), {
    name: 'ScenarioError',
    message: /guests\[0\]\.memoryPages must be at most/,
  });
});

test('whatever the file holds: a scenario, or an error that names the place', () => {
  const names = ['guests', 'release', 'cpu', 'views', 'altp2m', 'vcpus', 'access', 'remap', 'uuid', 'name', 'type'];
  const key = fc.oneof(fc.constantFrom(...names), fc.string({ maxLength: 5 }));
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom<unknown>(null, true, 0, -1, 1.5, 1e300, '', 'rx', 'mixed', '4.17', '0x10'),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(key, tie('tree'), { maxKeys: 4 }),
    ),
  }));
  fc.assert(
    fc.property(tree, (value) => {
      try {
        const scenario = parseScenario(JSON.stringify(value));
        assert.ok(Array.isArray(scenario.guests));
      } catch (error) {
        assert.ok(error instanceof ScenarioError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        parseScenario(text);
      } catch (error) {
        assert.ok(error instanceof ScenarioError);
      }
    }),
  );
});
