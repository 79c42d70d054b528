// Makes a tiny guest on a real Xen, runs another example with its id in the place of {}, and takes it away: for the lab.
//   node examples/with-guest.mjs xen-access.mjs {} write 8

import { readFileSync } from 'node:fs';
import { Xen } from 'xenctrl';
import { ENTRY, startTinyGuest } from './lib/tiny_guest.mjs';

// It calls a function, reads the function's bytes and leaves them at 0x21000, counts at 0x20000, yields, for ever.
const VMCALL = readFileSync('/proc/cpuinfo', 'utf8').includes('AuthenticAMD') ? 0xd9 : 0xc1;
const PROGRAM = [
  [0xbc, 0x00, 0x00, 0x03, 0x00], //                               mov $0x30000, %esp
  [0xbb, 0x00, 0x20, 0x01, 0x00, 0xff, 0xd3], //                again: mov $0x12000, %ebx; call *%ebx
  [0x8b, 0x03, 0xa3, 0x00, 0x10, 0x02, 0x00], //                  mov (%ebx), %eax; mov %eax, 0x21000
  [0xff, 0x05, 0x00, 0x00, 0x02, 0x00], //                        incl 0x20000
  [0xb8, 0x1d, 0x00, 0x00, 0x00, 0x31, 0xdb, 0x31, 0xc9], //      sched_op, SCHEDOP_yield
  [0x0f, 0x01, VMCALL, 0xeb, 0xde], //                            jmp again
].flat();
const CALLED = 0x12000;
const FUNCTION = [0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3]; //        mov $0x12345678, %eax; ret

for (const part of ['model', 'vmi']) await import(`xenctrl/${part}`); // before there is a guest: they share a processor
const xen = Xen.open();
const altp2m = xen.info().commandLine.includes('altp2m') ? 'external' : 'disabled';
const domain = startTinyGuest(xen, { [ENTRY]: PROGRAM, [CALLED]: FUNCTION }, { altp2m });
console.log(`domain ${domain.domid} runs`);
const [example, ...args] = process.argv.slice(2);
if (example) {
  process.argv.splice(2, args.length + 1, ...args.map((word) => word.replace('{}', domain.domid)));
  await import(`./${example}`);
}
domain.destroy();
xen.close();
