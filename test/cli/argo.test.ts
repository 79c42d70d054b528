/** `xenctrl argo`, on the model. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { listenOn } from '#dist/cli/argo/listen.js';
import { orStopWaiting } from '#dist/cli/argo/send.js';
import { argo_sendv, xc_interface_open } from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';
import { Party } from '../model/argo/party.js';
import { BIN, cleanEnvironment, fileOf, run, runInside, runJson, runJsonInside } from './run.js';

const GUEST = { name: 'box', memoryPages: 16 };
const scenario = (argo: unknown): string[] => ['--scenario', fileOf(JSON.stringify({ argo, guests: [GUEST] }))];

describe('argo probe', () => {
  for (const [argo, state] of [
    [true, 'enabled'],
    ['mac-permissive', 'enabled'],
    [false, 'not-on-command-line'],
    ['not-compiled-in', 'not-compiled-in'],
    ['no-domain-state', 'no-domain-state'],
    ['denied', 'denied'],
  ] as const) {
    test(`argo: ${String(argo)} is ${state}`, async () => {
      const { json, code } = await runJsonInside(['argo', 'probe', ...scenario(argo)]);
      assert.equal(code, 0);
      const answer = json as { state: string; reason: string };
      assert.deepEqual(Object.keys(answer), ['state', 'reason']);
      assert.equal(answer.state, state);
      const { stdout } = await runInside(['argo', 'probe', ...scenario(argo)]);
      assert.match(stdout, new RegExp(`^STATE +REASON\\n${state} +${answer.reason.slice(0, 10)}`));
    });
  }

  test('a software Xen is as distributions build theirs: without Argo', async () => {
    const { json } = await runJson(['argo', 'probe', '--backend', 'model']);
    assert.equal((json as { state: string }).state, 'not-compiled-in');
  });
});

describe('argo send', () => {
  test('what Xen refuses, with the reason', async () => {
    const refused = await runInside(['argo', 'send', '1', '80', 'hello', ...scenario(true)]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /argo_sendv on domain 1: ECONNREFUSED: the domain has no ring on this port/);
    const { json } = await runJsonInside(['argo', 'send', 'box', '0x50', 'hello', ...scenario(true)]);
    assert.equal((json as { error: { code: string } }).error.code, 'ECONNREFUSED');
    const off = await runInside(['argo', 'send', '1', '80', 'hello', ...scenario(false)]);
    assert.match(off.stderr, /EOPNOTSUPP.*argo=1/);
    const none = await runInside(['argo', 'send', 'nobody', '80', 'hello', ...scenario(true)]);
    assert.match(none.stderr, /there is no domain called 'nobody'/);
  });

  test('a wrong command line is usage, before Xen is asked', async () => {
    for (const [line, reason] of [
      [['argo', 'send', '1'], /PORT is missing/],
      [['argo', 'send', '1', 'x', 'm'], /PORT must be a number/],
      [['argo', 'send', '1', '4294967296', 'm'], /PORT must be a number/],
      [['argo', 'send', '70000', '1', 'm'], /DOMAIN must be a number/],
      [['argo', 'send', '1', '1', 'abc', '--hex'], /pairs of hexadecimal digits/],
      [['argo', 'send', '1', '1', 'm', '--type', 'x'], /--type must be a number/],
      [['argo', 'sned'], /did you mean `xenctrl argo send`/],
      [['argo', 'listen', '1', '--count', '0'], /--count must be 1 or more/],
    ] as const) {
      const { code, stderr } = await runInside([...line, ...(line.length > 2 ? scenario(true) : [])]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, reason);
    }
  });

  test('the standard input is a message, too', () => {
    const { status, stderr } = spawnSync(process.execPath, [BIN, 'argo', 'send', '1', '80', ...scenario(true)], {
      input: 'from a pipe',
      encoding: 'utf8',
      env: cleanEnvironment(),
    });
    assert.equal(status, 1);
    assert.match(stderr, /ECONNREFUSED/);
  });
});

test('a send that finds the ring full leaves no wait behind', () => {
  const xen = new ModelXen({ argo: true });
  const xch = xc_interface_open({ hypervisor: xen });
  const guest = new Party(xen, xen.createGuest({ memoryPages: 1024 }).domid);
  guest.register(80, 0, { len: 128 });
  const to = { aport: 80, domain_id: guest.domid };
  const send = (): number => orStopWaiting(xch, to, () => argo_sendv(xch, 0, to, new Uint8Array(90)));
  assert.equal(send(), 90);
  assert.throws(send, /EAGAIN/);
  assert.deepEqual(xen.argo.save()[0]?.rings[0]?.waiters, []);
  assert.throws(() => argo_sendv(xch, 0, to, new Uint8Array(90)), /EAGAIN/);
  assert.equal(xen.argo.save()[0]?.rings[0]?.waiters.length, 1);
});

describe('argo listen', () => {
  function machine() {
    const xen = new ModelXen({ argo: 'mac-permissive' });
    const guest = new Party(xen, xen.createGuest({ memoryPages: 1024 }).domid);
    return { xen, guest, xch: xc_interface_open({ hypervisor: xen }) };
  }

  test('hears messages of any type until there were enough, and leaves nothing behind', async () => {
    const { xen, guest, xch } = machine();
    const free = xen.memory.freePages;
    const heard: string[] = [];
    const done = listenOn(xch, { port: 80, count: 3 }, new AbortController().signal, ({ payload, messageType }) => {
      heard.push(`${messageType}:${Buffer.from(payload).toString()}`);
    });
    for (const [i, text] of ['one', 'two', 'three', 'four'].entries()) {
      assert.ok(guest.send(0, 80, text, { type: i }) > 0);
    }
    assert.equal(await done, 3);
    assert.deepEqual(heard, ['0:one', '1:two', '2:three']);
    assert.equal(xen.memory.freePages, free);
    assert.equal(guest.send(0, 80, 'x'), -111);
  });

  test('ends when it is told to, also before it begins', async () => {
    const { xen, xch } = machine();
    const free = xen.memory.freePages;
    const stop = new AbortController();
    const done = listenOn(xch, { port: 80 }, stop.signal, () => {});
    await delay(2);
    stop.abort();
    assert.equal(await done, 0);
    assert.equal(await listenOn(xch, { port: 80 }, stop.signal, () => {}), 0);
    assert.equal(xen.memory.freePages, free);
  });

  test('a listener that throws ends it', async () => {
    const { guest, xch } = machine();
    const done = listenOn(xch, { port: 80 }, new AbortController().signal, () => {
      throw new Error('no more');
    });
    guest.send(0, 80, 'x');
    await assert.rejects(done, /no more/);
    assert.equal(guest.send(0, 80, 'x'), -111);
  });

  test('a time-out ends it; with --count and too few messages it is an error', async () => {
    const quiet = await runInside(['argo', 'listen', '80', '--timeout', '0', ...scenario('mac-permissive')]);
    assert.equal(quiet.code, 0);
    assert.match(quiet.stdout, /software Xen/);
    const json = await runInside(['argo', 'listen', '80', '--timeout', '0', '--json', ...scenario('mac-permissive')]);
    assert.equal(json.stdout, '');
    const few = await runInside([
      'argo',
      'listen',
      '80',
      '--timeout',
      '0',
      '--count',
      '2',
      ...scenario('mac-permissive'),
    ]);
    assert.equal(few.code, 1);
    assert.match(few.stderr, /0 of 2 messages came/);
  });

  test('what Xen refuses, with the reason', async () => {
    const any = await runInside(['argo', 'listen', '80', ...scenario(true)]);
    assert.equal(any.code, 1);
    assert.match(any.stderr, /EPERM: a ring for any sender needs argo=1,mac-permissive=1/);
    const off = await runInside(['argo', 'listen', '80', '--from', 'box', ...scenario('not-compiled-in')]);
    assert.match(off.stderr, /ENOSYS: this Xen was built without Argo/);
    const size = await runInside(['argo', 'listen', '80', '--size', '50', ...scenario('mac-permissive')]);
    assert.match(size.stderr, /multiple of 16/);
  });

  test('Ctrl-C ends it cleanly', async () => {
    const { code, signal, stderr } = await run(['argo', 'listen', '80', ...scenario('mac-permissive')], {
      interrupt: { after: 1500, signal: 'SIGINT' },
    });
    assert.equal(stderr, '');
    assert.deepEqual([code, signal], [null, 'SIGINT']);
  });
});

test('help has examples, and the completion knows the commands', async () => {
  const { stdout } = await runInside(['argo', '--help']);
  for (const word of ['probe', 'send', 'listen', 'xenctrl argo listen 80 --from 3'])
    assert.ok(stdout.includes(word), word);
  const send = await runInside(['argo', 'send', '--help']);
  assert.match(send.stdout, /xenctrl argo send 3 1025 hello/);
  const completion = await runInside(['completion', 'bash']);
  assert.match(completion.stdout, /argo/);
});
