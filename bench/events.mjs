// Monitor events, from Xen's putting one into the ring to the answer being there, against a listener in C: in a real Xen's
// dom0 a guest's events (lib/events_dom0.mjs); elsewhere Xen's part is played by a thread of the same C code in both
// processes (children/event_source.c).

import { existsSync } from 'node:fs';
import { compile, orSkipped, ROOT, requireAddon, stubKernel } from './lib/compile.mjs';
import { realEvents } from './lib/events_dom0.mjs';
import { Contender, compare } from './lib/interleave.mjs';

const CHILD = `${ROOT}/bench/children/events_session.mjs`;
const RIVAL = 'libxenctrl and libxenevtchn (C)';
/** Events sent in one go, and how many such rounds make a turn of some milliseconds. */
const ROUNDS = { 1: 100, 32: 25, 256: 4 };

export async function* bench() {
  yield* orSkipped('all', async function* () {
    requireAddon();
    if (existsSync('/dev/xen/privcmd')) {
      yield* realEvents();
      return;
    }
    const env = { LD_PRELOAD: stubKernel(['bench/children/event_source.c'], 'stub_events.so'), STUB_KERNEL_ENTRY: '1' };
    const program = compile('bench/children/events.c', 'events', [
      '-lxenctrl',
      '-lxenevtchn',
      '-lxencall',
      '-lpthread',
    ]);
    const contenders = [
      new Contender('Worker', process.execPath, [CHILD, 'worker'], env),
      new Contender('event loop', process.execPath, [CHILD, 'loop'], env),
      new Contender(RIVAL, program, [], env),
    ];
    try {
      yield* all(contenders);
    } finally {
      for (const contender of contenders) contender.end();
    }
  });
}

async function* all(contenders) {
  for (const [events, rounds] of Object.entries(ROUNDS)) {
    const results = await compare(
      contenders,
      events,
      contenders.map(() => rounds),
    );
    const rival = results.pop();
    for (const [i, ours] of results.entries()) {
      for (const kind of ['best', 'median']) {
        yield row(Number(events), `${contenders[i].name}, ${kind}`, ours[kind], rival[kind]);
      }
    }
  }
}

/** One event: how long until its answer. Several: how many a second. */
function row(events, name, ours, rival) {
  if (events === 1) {
    return {
      case: `one event and its answer, ${name}`,
      ours: ours / 1000,
      rival: rival / 1000,
      rivalName: RIVAL,
      unit: 'us',
    };
  }
  const rate = (ns) => (events * 1e9) / ns;
  return {
    case: `${events} at once, ${name}`,
    ours: rate(ours),
    rival: rate(rival),
    rivalName: RIVAL,
    unit: 'events/s',
  };
}
