/** V4V's operations for dom0, and that a real hypervisor never sees one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { xc_interface_open } from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';
import {
  formatRule,
  parseRule,
  V4vDriver,
  V4vSocket,
  v4v_get_info,
  v4v_notify,
  v4v_sendv,
  v4v_set_config,
  v4v_tables_add,
  v4v_tables_del,
  v4v_tables_flush,
  v4v_tables_list,
} from '#dist/v4v/index.js';
import { FakeXen } from '../xc/fake.js';

type Xch = ReturnType<typeof xc_interface_open>;

const ADDR = { domain: 1, port: 80 };
const RULE = parseRule('accept 1:* -> 2:*');
const LIMITS = { maxRings: 1, maxSendv: 2, maxNotify: 3, maxSendSize: 4 };

const CALLS: Readonly<Record<string, (xch: Xch) => unknown>> = {
  v4v_get_info: (xch) => v4v_get_info(xch),
  v4v_notify: (xch) => v4v_notify(xch, [{ ring: ADDR, space: 1 }]),
  v4v_sendv: (xch) => v4v_sendv(xch, 1, ADDR, new Uint8Array(1)),
  v4v_set_config: (xch) => v4v_set_config(xch, 1, LIMITS),
  v4v_tables_add: (xch) => v4v_tables_add(xch, RULE),
  v4v_tables_del: (xch) => v4v_tables_del(xch, RULE),
  v4v_tables_flush: (xch) => v4v_tables_flush(xch),
  v4v_tables_list: (xch) => v4v_tables_list(xch),
};

for (const [name, call] of Object.entries(CALLS)) {
  test(`${name}: a real hypervisor is not asked: there the number is Argo's`, () => {
    for (const kind of ['privcmd', 'libxen'] as const) {
      const real = Object.assign(new FakeXen(), { kind });
      using xch = xc_interface_open({ hypervisor: real });
      const before = real.calls.length;
      assert.throws(() => call(xch), {
        name: 'XenError',
        code: 'ENOSYS',
        syscall: name,
        message: /39 of a real Xen is Argo/,
      });
      assert.deepEqual(real.calls.slice(before), []);
    }
  });

  test(`${name}: a software Xen without V4V says how to make one`, () => {
    for (const xen of [new ModelXen(), new ModelXen({ argo: true })]) {
      using xch = xc_interface_open({ hypervisor: xen });
      assert.throws(() => call(xch), { code: 'ENOSYS', syscall: name, message: /new ModelXen\(\{ v4v: true \}\)/ });
    }
  });
}

function open(options: ConstructorParameters<typeof ModelXen>[0] = { v4v: true }): { xen: ModelXen; xch: Xch } {
  const xen = new ModelXen(options);
  xen.createGuest({ memoryPages: 256 });
  return { xen, xch: xc_interface_open({ hypervisor: xen }) };
}

test('rules: added, listed in pieces, deleted, flushed', () => {
  const { xch } = open();
  const rules = Array.from({ length: 250 }, (_, i) => parseRule(`accept 1:${i + 1} -> 2:*`));
  for (const rule of rules) v4v_tables_add(xch, rule);
  v4v_tables_add(xch, parseRule('reject *:* -> *:*'), 2);
  const listed = v4v_tables_list(xch);
  assert.equal(listed.length, 251);
  assert.equal(formatRule(listed[1] ?? RULE), 'reject *:* -> *:*');
  assert.deepEqual(v4v_tables_list(xch, 3, 120), rules.slice(1, 121));
  assert.deepEqual(v4v_tables_list(xch, 252), []);
  v4v_tables_del(xch, 2);
  v4v_tables_del(xch, parseRule('accept 1:1 -> 2:*'));
  assert.deepEqual(v4v_tables_list(xch), rules.slice(1));
  assert.throws(() => v4v_tables_del(xch, RULE), { code: 'ENOENT' });
  assert.throws(() => v4v_tables_del(xch, 1000), { code: 'ENOENT' });
  assert.throws(() => v4v_tables_list(xch, 0), { code: 'EINVAL' });
  v4v_tables_flush(xch);
  assert.deepEqual(v4v_tables_list(xch), []);
});

test('rules with the numbers of V9', () => {
  const { xch } = open({ v4v: { abi: 'v9' } });
  v4v_tables_add(xch, RULE, 0, 'v9');
  assert.deepEqual(v4v_tables_list(xch, 1, 5, 'v9'), [RULE]);
  v4v_tables_del(xch, 1, 'v9');
  v4v_tables_flush(xch, 'v9');
  assert.equal(v4v_get_info(xch, 'v9').limits, null);
});

test('info and config: limits as they are set', () => {
  const { xen, xch } = open();
  assert.deepEqual(v4v_get_info(xch).limits, { maxRings: 128, maxSendv: 128, maxNotify: 256, maxSendSize: 0x200_0000 });
  v4v_set_config(xch, 1, LIMITS);
  assert.deepEqual(xen.v4v?.domain(1)?.limits, LIMITS);
  assert.throws(() => v4v_set_config(xch, 77, LIMITS), { code: 'EINVAL', domid: 77 });
});

test('sendv and notify: from dom0 to a guest', async () => {
  const { xen, xch } = open();
  using driver = new V4vDriver(xen.v4vPort(1, { gfn: 16, pages: 64 }));
  const socket = new V4vSocket(driver, { port: 80, length: 256 });
  const got = new Promise((resolve) => socket.once('message', (payload, source) => resolve([payload, source])));
  assert.deepEqual(
    v4v_notify(xch, [
      { ring: ADDR, space: 224 },
      { ring: { domain: 1, port: 81 }, space: 1 },
    ]),
    [
      { flags: 1 | 2 | 8, maxMessageSize: 224 },
      { flags: 0, maxMessageSize: 0 },
    ],
  );
  assert.equal(v4v_sendv(xch, 5, ADDR, Uint8Array.of(1, 2, 3)), 3);
  assert.deepEqual(await got, [Uint8Array.of(1, 2, 3), { port: 5, domain: 0 }]);
  assert.throws(() => v4v_sendv(xch, 5, ADDR, new Uint8Array(225)), { code: 'EMSGSIZE', domid: 1 });
  assert.deepEqual(v4v_notify(xch), []);
});

test('bad arguments are refused before anything is sent', () => {
  const { xch } = open();
  assert.throws(() => v4v_tables_add(xch, { ...RULE, src: { domain: 70_000, port: 1 } }), /rule\.src\.domain/);
  assert.throws(() => v4v_tables_add(xch, RULE, -1), /position/);
  assert.throws(() => v4v_tables_del(xch, 0), /numbered from 1/);
  assert.throws(() => v4v_sendv(xch, -1, ADDR, new Uint8Array(1)), /port/);
  assert.throws(() => v4v_sendv(xch, 1, { domain: 1, port: 2 ** 32 }, new Uint8Array(1)), /to\.port/);
  assert.throws(() => v4v_notify(xch, [{ ring: ADDR, space: -1 }]), /space/);
  assert.throws(() => v4v_set_config(xch, 1, { ...LIMITS, maxRings: 2 ** 32 }), /maxRings/);
});
