// One end of a Unix datagram socket, by libc's own functions: Node has no such sockets.
//   datagram.mjs receive|send PATH     lines `length count` on stdin; `receive` answers with the microseconds that it took

import { createInterface } from 'node:readline';
import koffi from 'koffi';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const [role, path] = process.argv.slice(2);
const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int, int, int)');
const bind = libc.func('int bind(int, const void *, int)');
const connect = libc.func('int connect(int, const void *, int)');
const send = libc.func('long send(int, const void *, size_t, int)');
const recv = libc.func('long recv(int, void *, size_t, int)');

const address = Buffer.alloc(110); // sockaddr_un
address.writeUInt16LE(AF_UNIX, 0);
address.write(path, 2);
const fd = socket(AF_UNIX, SOCK_DGRAM, 0);
const rc = role === 'receive' ? bind(fd, address, address.length) : connect(fd, address, address.length);
if (fd < 0 || rc < 0) throw new Error(`${role}: no socket at ${path}`);
console.log('ready');

const buffer = new Uint8Array(65536);
for await (const line of createInterface({ input: process.stdin })) {
  const [length, count] = line.split(' ').map(Number);
  const payload = buffer.subarray(0, length);
  if (role === 'receive') {
    recv(fd, payload, length, 0); // the first starts the clock
    const start = performance.now();
    for (let i = 1; i < count; i++) if (recv(fd, payload, length, 0) !== length) throw new Error('a datagram is short');
    console.log((performance.now() - start) * 1000);
  } else {
    for (let i = 0; i < count; i++)
      if (send(fd, payload, length, 0) !== length) throw new Error('a datagram was not sent');
  }
}
