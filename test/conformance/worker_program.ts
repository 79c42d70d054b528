/** What the threads of worker.test.ts run: each opens the target for itself. */

import { parentPort, workerData } from 'node:worker_threads';
import * as xc from '#dist/index.js';
import { frames, hvmDomain } from './domains.js';
import { openTarget } from './target.js';

/** `check`: makes domains, uses them, tells how often; `hold`: maps a domain's pages and calls on until it is ended. */
export type WorkerTask =
  | { readonly task: 'check'; readonly rounds: number; readonly mark: number }
  | { readonly task: 'hold'; readonly domid: number };

const RW = xc.PROT_READ | xc.PROT_WRITE;

/** Domains of one's own, used in full; throws when anything is not as it was left. */
function check(rounds: number, mark: number): number {
  const target = openTarget();
  const { xch } = target;
  let calls = 0;
  for (let round = 0; round < rounds; round++) {
    using domain = hvmDomain(target, { pages: 32 });
    const { domid } = domain;
    using pages = xc.xc_map_foreign_pages(xch, domid, RW, frames(32));
    pages.bytes.fill(mark);
    for (let i = 0; i < 50; i++) {
      xc.xc_hvm_param_set(xch, domid, xc.HVM_PARAM_STORE_PFN, mark * 1000 + i);
      const value = xc.xc_hvm_param_get(xch, domid, xc.HVM_PARAM_STORE_PFN);
      const { domain: told, tot_pages } = domain.info;
      if (value !== BigInt(mark * 1000 + i) || told !== domid || tot_pages !== 32) {
        throw new Error(`thread ${mark}: domain ${told} instead of ${domid}, ${tot_pages} pages, parameter ${value}`);
      }
      calls += 3;
    }
    if (!pages.bytes.every((byte) => byte === mark)) throw new Error(`thread ${mark}: another's bytes`);
  }
  xch.close();
  return calls;
}

function hold(domid: number): never {
  const { xch } = openTarget();
  const pages = xc.xc_map_foreign_pages(xch, domid, RW, frames(64));
  for (let i = 0; ; i++) {
    xc.xc_domain_getinfo_single(xch, domid);
    pages.bytes[i % pages.bytes.length] = i;
    // told only once both are under way
    if (i === 20) parentPort?.postMessage('under way');
  }
}

const task = workerData as WorkerTask;
if (task.task === 'check') parentPort?.postMessage(check(task.rounds, task.mark));
else hold(task.domid);
