/** A program with a session, ended in the way that its first argument says; it shows what is left when it ends. */

import { MonitorSession, xc_interface_open } from '#dist/index.js';
import { spawnGuard } from '#dist/vmi/monitor/guard.js';
import { DOMID, FakeMonitorXen } from './fake_xen.js';

const how = process.argv[2];
const xen = new FakeMonitorXen();
const session = MonitorSession.open(xc_interface_open({ hypervisor: xen }), DOMID, {
  singlestep: true,
  closeAtExit: how !== 'not',
});
xen.raise();
xen.raise({ vcpu: 1 });

// SIGTERM runs no exit listeners, so it is told as soon as Xen has let go of the ring
const { log } = xen;
const told = log.push.bind(log);
log.push = (...lines: string[]) => {
  if (lines.includes('unpause') && xen.front === null) process.stdout.write(`free, ${xen.paused.size} wait\n`);
  return told(...lines);
};

if (how === 'listener') process.on('SIGTERM', () => process.stdout.write('mine\n', () => process.exit(5)));
if (how === 'guard-closed') spawnGuard('model', DOMID)();
if (how === 'guard') spawnGuard('model', DOMID);
// real event channels keep the process alive; these do not
const alive = setInterval(() => {}, 1000);
session.onClose(() => clearInterval(alive));

void session
  .serve(() => {
    if (how === 'exit' || how === 'not') process.exit(3);
    if (how === 'throw') setImmediate(() => assertNever());
    if (how === 'guard') process.kill(process.pid, 'SIGKILL');
    if (how === 'guard-closed') session.close();
    if (how === 'SIGTERM' || how === 'SIGINT') process.kill(process.pid, how);
    if (how === 'listener') process.kill(process.pid, 'SIGTERM');
    return new Promise<void>(() => {});
  })
  .catch(() => {});

function assertNever(): never {
  throw new Error('nobody catches this');
}
