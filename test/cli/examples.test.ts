/** Every example runs to its end on the model, and says what it says it says. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cleanEnvironment } from './run.js';

const FOLDER = fileURLToPath(new URL('../../../examples/', import.meta.url));

/** A line of the output that shows that the example did what it is there for. */
const SHOWS: Readonly<Record<string, RegExp>> = {
  'argo-stream.mjs': /^the guest has sent 1400000 letters$/m,
  'esp-partial-checksum.mjs':
    /^2005, dom0: ENOMEM[^\n]*\n2005, with ESP let through: [^\n]* dropped\ntoday: [^\n]* good: taken\n[^\n]*EPROTO/m,
  'give-device.mjs':
    /^ERR_PCI_FAILED: [^\n]* EINVAL[^\n]*\. All is as it was before; its driver is e1000e\ndomain 1 has it; can the table be written\? no\ndom0 has it; its driver is e1000e$/m,
  'guest-script.mjs': /^vCPU [01]: write_ctrlreg\n[\s\S]*vCPU 1 ended with exception 14 at 0x1234$/m,
  'hide-view.mjs': /^hidden: the guest gets #UD$/m,
  'hidden-hook.mjs':
    /^guest: reads 554889e5\nagent: vCPU 0 [\s\S]*554889e4\nagent: [\s\S]*exception 6, #UD\n.*closed; events: \d/m,
  'list-domains.mjs': /^1 .* 2 vCPUs {2}64 MiB {2}altp2m: mixed$/m,
  'list-processes.mjs': /^live: Linux version[\s\S]* 1204 {2}bash[\s\S]*^saved: Linux version[\s\S]* 1204 {2}bash/m,
  'many-frames.mjs': /^100 %\nframe 0x1234 is now rx$/m,
  'recycled-domid.mjs': /^refused: xc_domain_destroy on domain 1: ESRCH[\s\S]*untouched: true$/m,
  'v4v-chat.mjs':
    /^alice hears from 2:1025: hello, alice\nbob hears: hello, bob\nbob gets 100000 bytes[^\n]*\nafter the rule: ECONNREFUSED$/m,
  'with-guest.mjs': /^domain \d+ runs$/m,
  'xen-access.mjs': /^vcpu 1: rw of frame 0x9\+8 at 0x0$[\s\S]*^8 events were answered; the guest is free$/m,
  'watch-altp2m-errors.mjs': /altp2m=1[\s\S]*AMD[\s\S]*altp2m mode[\s\S]*PV/,
};

for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.mjs'))) {
  test(`examples/${file}`, () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [FOLDER + file], {
      encoding: 'utf8',
      env: { ...cleanEnvironment(), XENCTRL_BACKEND: 'model' },
    });
    assert.equal(stderr, '');
    assert.equal(status, 0);
    const wanted = SHOWS[file];
    if (wanted) assert.match(stdout, wanted);
    const source = readFileSync(FOLDER + file, 'utf8');
    assert.ok(source.split('\n').length <= 40, 'an example is short');
    assert.ok(source.includes(`node examples/${file}`), 'it says how to run it');
  });
}

test('every example that is looked at is there', () => {
  for (const file of Object.keys(SHOWS)) assert.ok(readdirSync(FOLDER).includes(file), file);
});
