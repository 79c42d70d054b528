/** An agent for tests that reads and writes the ring's bytes itself, so that it knows nothing that the model knows. */

import { VM_EVENT_FLAG_VCPU_PAUSED, VM_EVENT_SLOTS, vmEventLayoutOf } from '#dist/abi/vm_event.js';
import type { EventChannels } from '#dist/hypervisor/event_channels.js';
import * as xc from '#dist/index.js';
import type { ModelXen } from '#dist/model/index.js';
import { xc_monitor_disable, xc_monitor_enable } from '#dist/xc/monitor.js';

/** A request, by the names of `vm_event_st`; `regs` by those of `vm_event_regs_x86`. */
export class Request {
  readonly bytes: Uint8Array;
  readonly #layout: ReturnType<typeof vmEventLayoutOf>;

  constructor(bytes: Uint8Array, layout: ReturnType<typeof vmEventLayoutOf>) {
    this.bytes = bytes;
    this.#layout = layout;
  }

  get(name: string): bigint {
    return number(this.bytes, this.#layout.event.fields[name]);
  }

  reg(name: string): bigint {
    const place = this.#layout.regs.fields[name];
    return number(this.bytes.subarray(this.#layout.event.at['data']), place);
  }

  get reason(): number {
    return Number(this.get('reason'));
  }
}

export type Answer = {
  readonly flags?: number;
  /** Members of `vm_event_st`. */
  readonly fields?: Readonly<Record<string, number | bigint>>;
  /** Members of `vm_event_regs_x86`. */
  readonly regs?: Readonly<Record<string, bigint>>;
  readonly data?: Uint8Array;
};

export class RingAgent {
  readonly xch: xc.XcInterface;
  readonly domid: number;
  readonly channels: EventChannels;
  readonly port: number;
  readonly page: Uint8Array;
  readonly view: DataView;
  readonly #ring: xc.ForeignMapping;
  readonly #layout: ReturnType<typeof vmEventLayoutOf>;
  #reqCons = 0;
  #rspProd = 0;

  constructor(xen: ModelXen, domid: number) {
    this.xch = xc.xc_interface_open({ hypervisor: xen });
    this.domid = domid;
    const { port, ring } = xc_monitor_enable(this.xch, domid);
    this.#ring = ring;
    this.page = ring.bytes;
    this.view = new DataView(ring.bytes.buffer, ring.bytes.byteOffset, 4096);
    this.channels = xen.eventChannels();
    this.port = this.channels.bindInterdomain(domid, port);
    this.#layout = vmEventLayoutOf(xen.release);
  }

  get version(): number {
    return this.#layout.abi;
  }

  /** Bytes of a request or an answer. */
  get entrySize(): number {
    return this.#layout.event.size;
  }

  /** Requests that are there and have not been taken. */
  get waiting(): number {
    return (this.view.getUint32(0, true) - this.#reqCons) >>> 0;
  }

  /** The next request. @throws when there is none */
  take(): Request {
    if (this.waiting === 0) throw new Error('no request');
    const request = this.#slot(this.#reqCons++).slice();
    return new Request(request, this.#layout);
  }

  /** Puts an answer into the ring: the request's own bytes, changed. Nobody is told yet. */
  put(request: Request, { flags = 0, fields = {}, regs = {}, data }: Answer = {}): void {
    const bytes = request.bytes.slice();
    const { event } = this.#layout;
    const paused = Number(request.get('flags')) & VM_EVENT_FLAG_VCPU_PAUSED;
    store(bytes, event.fields['flags'], paused | flags);
    for (const [name, value] of Object.entries(fields)) store(bytes, event.fields[name], value);
    const at = event.at['data'] ?? 0;
    for (const [name, value] of Object.entries(regs)) {
      store(bytes.subarray(at), this.#layout.regs.fields[name], value);
    }
    if (data) bytes.set(data, at);
    this.putBytes(bytes);
  }

  putBytes(bytes: Uint8Array): void {
    this.#slot(this.#rspProd).set(bytes);
    this.#rspProd++;
    this.view.setUint32(8, this.#rspProd >>> 0, true);
  }

  notify(): void {
    this.channels.notify(this.port);
  }

  /** Takes the next request, answers it and tells Xen. */
  answer(answer: Answer = {}): Request {
    const request = this.take();
    this.put(request, answer);
    this.notify();
    return request;
  }

  /** As the end of its process: what it had mapped and bound is gone, and Xen knows nothing of it. */
  crash(): void {
    this.#ring.close();
    this.channels.close();
  }

  close(): void {
    xc_monitor_disable(this.xch, this.domid);
    this.crash();
  }

  #slot(index: number): Uint8Array {
    const at = 64 + (index % VM_EVENT_SLOTS) * this.#layout.event.size;
    return this.page.subarray(at, at + this.#layout.event.size);
  }
}

type Place = readonly [offset: number, size: number] | undefined;

function number(bytes: Uint8Array, place: Place): bigint {
  if (!place) throw new RangeError('no such member');
  return [...bytes.subarray(place[0], place[0] + place[1])].reduceRight((all, byte) => (all << 8n) | BigInt(byte), 0n);
}

function store(bytes: Uint8Array, place: Place, value: number | bigint): void {
  if (!place) throw new RangeError('no such member');
  for (let i = 0; i < place[1]; i++) bytes[place[0] + i] = Number((BigInt(value) >> BigInt(8 * i)) & 0xffn);
}
