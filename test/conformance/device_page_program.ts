/** A process that maps a page of a device and does with it what it is told, line by line: see device_page.ts. */

import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import * as xc from '#dist/index.js';

const DOMID_IO = 0x7ff1;

const [, , backend, frame] = process.argv;
const xch = xc.xc_interface_open({ backend: backend as 'privcmd' });
const page = xc.xc_map_foreign_range(xch, DOMID_IO, 4096, xc.PROT_READ | xc.PROT_WRITE, Number(frame));
const words = new Uint32Array(page.bytes.buffer, page.bytes.byteOffset, 1024);
// at once, before a store that may never end
const say = (line: string): number => writeSync(1, `${line}\n`);

say('mapped');
for await (const line of createInterface({ input: process.stdin })) {
  const [what, offset = '0', value = '0'] = line.split(' ');
  const at = Number(offset) / 4;
  if (what === 'store') {
    say('storing');
    words[at] = Number(value);
    say('stored');
  } else {
    say(`read ${words[at]}`);
  }
}
