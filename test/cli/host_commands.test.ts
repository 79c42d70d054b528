/** The commands on vCPUs and on the host, on the model. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileOf, runInside, runJsonInside } from './run.js';

const MODEL = ['--backend', 'model'];

test('vcpu regs: all vCPUs of a domain, or one', async () => {
  const { code, stdout } = await runInside(['vcpu', 'regs', '1', ...MODEL]);
  assert.equal(code, 0);
  assert.match(stdout, /^vCPU 0 {2}up {2}/);
  assert.match(stdout, /\n\nvCPU 1 {2}up {2}/);
  assert.match(stdout, /^rip +[0-9a-f]{16} {2}rsp +[0-9a-f]{16} {2}rflags +[0-9a-f]{16}$/m);
  assert.ok(stdout.split('\n').every((line) => line.length <= 100));
  const one = await runInside(['vcpu', 'regs', '1', '1', ...MODEL]);
  assert.match(one.stdout, /^vCPU 1 {2}up/);
  assert.doesNotMatch(one.stdout, /vCPU 0/);
});

test('vcpu regs --json: registers as hexadecimal text', async () => {
  const { json } = await runJsonInside(['vcpu', 'regs', 'guest', '0', ...MODEL]);
  const told = json as { domid: number; vcpus: { vcpu: number; online: boolean; registers: Record<string, string> }[] };
  assert.equal(told.domid, 1);
  const [first, ...others] = told.vcpus;
  assert.deepEqual(others, []);
  assert.equal(first?.online, true);
  assert.match(first?.registers['rip'] ?? '', /^0x[0-9a-f]+$/);
  assert.equal(Object.keys(first?.registers ?? {}).length, 38);
});

test('vcpu regs: a PV domain, dom0, no vCPU, no domain', async () => {
  const pv = fileOf('{"guests": [{"type": "pv"}]}');
  assert.match((await runInside(['vcpu', 'regs', '1', '--scenario', pv])).stdout, /PV, privilege level 0/);
  const dom0 = await runInside(['vcpu', 'regs', '0', ...MODEL]);
  assert.match(dom0.stdout, /vCPU 0 {2}up\nXen tells no registers of it/, 'it is the caller’s own');
  assert.match(dom0.stdout, /vCPU 1 {2}up {2}PV/);
  const none = await runInside(['vcpu', 'regs', '1', '9', ...MODEL]);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /xc_vcpu_getinfo on domain 1: EINVAL: the domain cannot have such a vCPU/);
  assert.equal((await runInside(['vcpu', 'regs', '1', 'x', ...MODEL])).code, 2);
  assert.equal((await runInside(['vcpu', 'regs', '77', ...MODEL])).code, 1);
});

test('dmesg: what Xen printed', async () => {
  const { code, stdout } = await runInside(['dmesg', ...MODEL, '--release', '4.20']);
  assert.equal(code, 0);
  assert.match(stdout, /^\(XEN\) Xen version 4\.20\.0-model\n/);
  const { json } = await runJsonInside(['dmesg', '--clear', ...MODEL]);
  assert.match((json as { lines: string[] }).lines[0] ?? '', /^\(XEN\) Xen version/);
});

test('debug-keys: what the keys print, and no more', async () => {
  const { code, stdout } = await runInside(['debug-keys', 'q', ...MODEL]);
  assert.equal(code, 0);
  assert.match(stdout, /^\(XEN\) key 'q'/);
  assert.match(stdout, /domain 1:/);
  assert.doesNotMatch(stdout, /Xen version/);
  assert.match((await runInside(['debug-keys', '~', ...MODEL])).stdout, /^Xen has printed nothing\n/);
  const { json } = await runJsonInside(['debug-keys', 'h', ...MODEL]);
  assert.equal((json as { keys: string }).keys, 'h');
});

test('debug-keys: keys that end the host need --force', async () => {
  const refused = await runInside(['debug-keys', 'qR', ...MODEL]);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /key 'R' restarts the host at once: --force does it/);
  assert.equal((await runInside(['debug-keys', 'R', '--force', ...MODEL])).code, 0);
  assert.equal((await runInside(['debug-keys', 'ä', ...MODEL])).code, 2);
});

test('topology: processors and nodes', async () => {
  const { code, stdout } = await runInside(['topology', ...MODEL]);
  assert.equal(code, 0);
  assert.match(stdout, /^CPU {2}CORE {2}SOCKET {2}NODE {2}IDLE SECONDS\n/);
  assert.match(stdout, /\n +3 +3 +0 +0 +0\.0\n/);
  assert.match(stdout, /\nNODE +MIB +FREE MIB +DISTANCES\n/);
  const { json } = await runJsonInside(['topology', ...MODEL]);
  const told = json as { cpus: unknown[]; nodes: { distance: number[] }[] };
  assert.equal(told.cpus.length, 4);
  assert.deepEqual(told.nodes[0]?.distance, [10]);
});
