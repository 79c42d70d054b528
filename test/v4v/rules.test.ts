/** Rules as text, and the simulator; and messages of V4V as Argo's. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { xc_interface_open } from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';
import {
  argoFlagsToV4v,
  argoMessageToV4v,
  findings,
  formatAddr,
  formatRule,
  parseAddr,
  parseRule,
  parseRules,
  simulate,
  v4v_tables_add,
  v4v_tables_list,
  v4vFlagsToArgo,
  v4vMessageToArgo,
} from '#dist/v4v/index.js';

test('parseAddr: wildcards in every spelling, hexadecimal, and mistakes', () => {
  assert.deepEqual(parseAddr('3:1025'), { domain: 3, port: 1025 });
  assert.deepEqual(parseAddr('0x10:0xff'), { domain: 16, port: 255 });
  for (const any of ['*:*', 'any:any', '*:0', '*:-1', '*:0xffffffff', '*:4294967295', '0x7ff4:0']) {
    assert.deepEqual(parseAddr(any), { domain: 0x7ff4, port: 0 }, any);
  }
  for (const wrong of ['', '3', '3:', ':3', '3:4:5', '32752:1', 'x:1', '1:x', '1:-2', '1:4294967296', '1.5:1']) {
    assert.throws(() => parseAddr(wrong), { name: 'V4vRuleError' }, wrong);
  }
});

test('parseRules: comments, blank lines, and the line of a mistake', () => {
  const text = '# all\naccept 3:1025 -> 0:80\n\n  reject *:* -> 0:*  # the rest\n';
  assert.deepEqual(parseRules(text).map(formatRule), ['accept 3:1025 -> 0:80', 'reject *:* -> 0:*']);
  assert.deepEqual(
    parseRules(text).map(({ line }) => line),
    [2, 4],
  );
  for (const wrong of [
    'allow 1:1 -> 2:2',
    'accept 1:1 2:2',
    'accept 1:1 ->',
    'accept 1:1 -> 2:2 3:3',
    'accept 1 -> 2:2',
  ]) {
    assert.throws(() => parseRules(`accept 1:1 -> 2:2\n${wrong}`), { name: 'V4vRuleError', line: 2 }, wrong);
  }
});

test('simulate: the first match decides; without one the message passes', () => {
  const rules = parseRules('accept 3:1025 -> 0:80\nreject *:* -> 0:*\naccept *:* -> *:*');
  const ask = (src: string, dst: string) => simulate(rules, parseAddr(src), parseAddr(dst));
  assert.deepEqual(ask('3:1025', '0:80'), { accept: true, rule: 1 });
  assert.deepEqual(ask('3:1026', '0:80'), { accept: false, rule: 2 });
  assert.deepEqual(ask('3:1025', '4:80'), { accept: true, rule: 3 });
  assert.deepEqual(simulate([], parseAddr('1:1'), parseAddr('2:2')), { accept: true, rule: null });
});

test('findings: rules that never decide', () => {
  const rules = parseRules('reject 3:* -> 0:*\naccept 3:1025 -> 0:80\nreject 3:7 -> 0:80\naccept *:* -> 0:80');
  assert.deepEqual(findings(rules), [
    { rule: 2, because: 1, kind: 'never' },
    { rule: 3, because: 1, kind: 'needless' },
  ]);
});

const addr = fc.record(
  { domain: fc.constantFrom(0, 1, 2, 0x7ff4), port: fc.constantFrom(0, 80, 1025, 0xffff_fffe) },
  { noNullPrototype: true },
);
const rule = fc.record({ src: addr, dst: addr, accept: fc.boolean() }, { noNullPrototype: true });

test('property: rules survive being written and read, and being added to V4V and listed', () => {
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 120 }), (rules) => {
      const lines = rules.map(formatRule);
      assert.deepEqual(lines.map(parseRule), rules);
      for (const { src } of rules) assert.deepEqual(parseAddr(formatAddr(src)), src);
      using xch = xc_interface_open({ hypervisor: new ModelXen({ v4v: true }) });
      for (const one of rules) v4v_tables_add(xch, one);
      assert.deepEqual(v4v_tables_list(xch), rules);
    }),
    { numRuns: 20 },
  );
});

test('property: a rule that never decides can go', () => {
  const end = fc.record({ domain: fc.constantFrom(0, 1, 2), port: fc.constantFrom(80, 1025) });
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 8 }), end, end, (rules, src, dst) => {
      const useless = new Set(findings(rules).map((one) => one.rule - 1));
      const kept = rules.filter((_, i) => !useless.has(i));
      assert.equal(simulate(kept, src, dst).accept, simulate(rules, src, dst).accept);
    }),
  );
});

test('messages: V4V and Argo have the same things in another order', () => {
  const v4v = Uint8Array.from({ length: 20 }, (_, i) => i + 1);
  new DataView(v4v.buffer).setUint32(0, 20, true);
  const argo = v4vMessageToArgo(v4v);
  assert.deepEqual([...argo.subarray(4, 12)], [...v4v.subarray(8, 16)], 'the source');
  assert.deepEqual([...argo.subarray(12, 16)], [...v4v.subarray(4, 8)], 'the type');
  assert.deepEqual(argo.subarray(16), v4v.subarray(16));
  assert.deepEqual(argoMessageToV4v(argo), v4v);
  assert.deepEqual(v4vMessageToArgo(Uint8Array.of(...v4v, 9, 9)), argo, 'padding is no part of it');
  for (const wrong of [v4v.subarray(0, 15), v4v.subarray(0, 19), new Uint8Array(16)]) {
    assert.throws(() => v4vMessageToArgo(wrong), RangeError);
    assert.throws(() => argoMessageToV4v(wrong), RangeError);
  }
  const long = new Uint8Array(16 + 0x100_0000 - 31);
  new DataView(long.buffer).setUint32(0, long.length, true);
  assert.throws(() => v4vMessageToArgo(long), /Argo takes 16777184/);
});

test('flags of notify: EXISTS, EMPTY and SUFFICIENT have their like', () => {
  assert.equal(v4vFlagsToArgo(1 | 2 | 8), 4 | 1 | 8);
  assert.equal(v4vFlagsToArgo(2 | 4), 1, 'PENDING has not');
  assert.equal(argoFlagsToV4v(1 | 2 | 4 | 8 | 16 | 32), 2 | 1 | 8);
});
