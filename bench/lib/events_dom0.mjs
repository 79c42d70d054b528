// Monitor events on a real Xen: HVM guests that cause them for ever, ours against a listener in C. Each contender has a guest
// of its own, which runs only while it is that one's turn.

import { Xen } from '../../dist/index.js';
import { ENTRY, startTinyGuest } from '../../examples/lib/tiny_guest.mjs';
import { compile, ROOT } from './compile.mjs';
import { Contender, compare, rows } from './interleave.mjs';

const CHILD = `${ROOT}/bench/children/real_events.mjs`;
const RIVAL = 'libxenctrl and libxenevtchn (C)';
const TURNS = 41;
const EVENTS_A_TURN = 25;
/** Until V8 has compiled what an event runs through, for good: what an agent is that has run for half a minute. */
const WARM_UP = 25_000;

/** By the number that the program below knows them by. */
const CASES = ['guest_request, waits for its answer', 'cpuid, answered with registers', 'write of CR3, does not wait'];

/** What the guest does: it looks at the case, causes the event, and begins again. */
const GUEST = [
  [0xa1, 0x00, 0x00, 0x02, 0x00], //        00 mov 0x20000, %eax
  [0x83, 0xf8, 0x01, 0x74, 0x16], //        05 cmp $1, %eax; je 1f
  [0x83, 0xf8, 0x02, 0x74, 0x17], //        0a cmp $2, %eax; je 2f
  [0xb8, 0x22, 0x00, 0x00, 0x00], //        0f mov $34, %eax: hvm_op
  [0xbb, 0x18, 0x00, 0x00, 0x00], //        14 mov $24, %ebx: HVMOP_guest_request_vm_event
  [0x31, 0xc9, 0x0f, 0x01, 0xd9], //        19 xor %ecx, %ecx; vmmcall
  [0xeb, 0xe0], //                          1e jmp to the beginning
  [0x31, 0xc0, 0x0f, 0xa2, 0xeb, 0xda], //  20 1: xor %eax, %eax; cpuid; jmp
  [0x0f, 0x20, 0xd8], //                    26 2: mov %cr3, %eax
  [0x35, 0x00, 0x10, 0x00, 0x00], //        29 xor $0x1000, %eax
  [0x0f, 0x22, 0xd8, 0xeb, 0xcd], //        2e mov %eax, %cr3; jmp
].flat();

export async function* realEvents() {
  const program = compile('bench/children/real_events.c', 'real_events', ['-lxenctrl', '-lxenevtchn']);
  const xen = Xen.open({ backend: 'privcmd' });
  const commands = [
    ['Worker', process.execPath, [CHILD, 'worker']],
    ['event loop', process.execPath, [CHILD, 'loop']],
    [RIVAL, program, []],
  ];
  const guests = commands.map(() => startTinyGuest(xen, { [ENTRY]: GUEST }));
  const contenders = commands.map(
    ([name, command, args], i) => new Contender(name, command, [...args, String(guests[i].domid)]),
  );
  try {
    for (const [number, name] of CASES.entries()) yield* measure(contenders, number, name);
  } finally {
    for (const contender of contenders) contender.end();
    for (const guest of guests) guest.destroy();
    xen.close();
  }
}

async function* measure(contenders, number, name) {
  for (const contender of contenders) await contender.measure(number, WARM_UP);
  const counts = contenders.map(() => EVENTS_A_TURN);
  const [worker, loop, rival] = await compare(contenders, number, counts, TURNS);
  yield* rows(`${name}, Worker`, worker, rival, RIVAL, 'us', 1000);
  yield* rows(`${name}, event loop`, loop, rival, RIVAL, 'us', 1000);
}
