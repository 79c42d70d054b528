import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Notifier } from '#dist/vmi/monitor/notifier.js';

const PORT = 7;

function setup() {
  const sent: number[] = [];
  return { sent, notifier: new Notifier(PORT, (port) => sent.push(port)) };
}

test('answers are told at once', () => {
  const { sent, notifier } = setup();
  notifier.notify();
  notifier.notify();
  notifier.flush();
  assert.deepEqual(sent, [PORT, PORT]);
});

test('lazily they are left to the caller, once, and what was flushed is not', () => {
  const { sent, notifier } = setup();
  assert.equal(
    notifier.lazily(() => {}),
    0,
  );
  assert.equal(
    notifier.lazily(() => {
      notifier.notify();
      notifier.notify();
    }),
    PORT,
  );
  assert.deepEqual(sent, []);
  assert.equal(
    notifier.lazily(() => {
      notifier.notify();
      notifier.flush();
    }),
    0,
  );
  assert.deepEqual(sent, [PORT]);
});

test('what is owed is told when something throws, and at the end', () => {
  const { sent, notifier } = setup();
  assert.throws(() =>
    notifier.lazily(() => {
      notifier.notify();
      throw new Error('broken');
    }),
  );
  assert.deepEqual(sent, [PORT]);
  const left = notifier.lazily(() => {
    notifier.notify();
    notifier.end();
    notifier.notify();
  });
  assert.deepEqual([left, sent], [0, [PORT, PORT, PORT]]);
});
