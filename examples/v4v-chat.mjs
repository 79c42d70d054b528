// Two domains talk through V4V: datagrams, a stream, and a rule that ends it.
//   node examples/v4v-chat.mjs

import { text } from 'node:stream/consumers';
import { xc_interface_open } from 'xenctrl';
import { ModelXen } from 'xenctrl/model';
import { connect, parseRule, V4vDriver, V4vServer, V4vSocket, v4v_tables_add } from 'xenctrl/v4v';

// V4V runs on a software Xen only: on real ones its hypercall number is Argo's
const xen = new ModelXen({ v4v: true });
const [alice, bob] = [1, 2].map(() => {
  const { domid } = xen.createGuest({ memoryPages: 1024 });
  return new V4vDriver(xen.v4vPort(domid, { gfn: 0x10, pages: 128 }));
});

const inbox = new V4vSocket(alice, { port: 80 });
const outbox = new V4vSocket(bob, { port: 1025 });
inbox.on('message', (payload, { domain, port }) => {
  console.log(`alice hears from ${domain}:${port}: ${Buffer.from(payload)}`);
  inbox.send('hello, bob', { domain, port });
});
const answer = new Promise((resolve) => outbox.once('message', resolve));
await outbox.send('hello, alice', inbox.address);
console.log(`bob hears: ${Buffer.from(await answer)}`);

const server = new V4vServer(alice, { port: 7 }); // an echo
server.on('connection', (stream) => stream.pipe(stream));
const stream = connect(bob, server.address);
stream.end('x'.repeat(100_000));
console.log(`bob gets ${(await text(stream)).length} bytes back through a ring of 16 KiB`);

const xch = xc_interface_open({ hypervisor: xen });
v4v_tables_add(xch, parseRule('reject 2:* -> 1:80'));
await outbox.send('again', inbox.address).catch(({ code }) => console.log(`after the rule: ${code}`));

for (const driver of [alice, bob]) driver.close();
