/** Writes a session as a recording: what `XENCTRL_RECORD` asks for. */

import { errno, errnoName } from '../abi/errno.js';
import { HVM_PARAM_ALTP2M } from '../abi/hvm/params.js';
import type { Release } from '../abi/release.js';
import { XENVER_build_id, XENVER_commandline2, XENVER_extraversion2, XENVER_get_features } from '../abi/version.js';
import { DOMID_FIRST_RESERVED } from '../abi/xen.js';
import { ArenaFullError } from '../hypervisor/arena.js';
import type { Hypervisor } from '../hypervisor/port.js';
import { decode } from './decode.js';
import type { Decoded, DecodedValue, DecodedValues } from './decoded.js';
import type { Observer } from './decorate.js';
import { describeDomain } from './existing.js';
import { describeMachine } from './machine.js';
import { HVM_PARAM_NAMES } from './names.js';
import { Probe } from './probe.js';
import { RecordFile } from './record_file.js';
import { u64ToJson } from './u64.js';

/** Results that differ from one machine to the next, and what is told of them. */
const OUT: Readonly<Record<string, readonly string[]>> = {
  xc_domain_getinfo_single: ['dying', 'paused', 'shutdown_reason', 'hvm', 'hap', 'max_vcpu_id'],
  xc_domain_hvm_getcontext: [],
  xc_domain_getinfolist: [],
};
/** What getdomaininfo says about dom0 is the host's own. */
const DOM0 = 0;

/** A recording under way: one machine, and every handle of this process on it. */
export class Recording {
  readonly file: RecordFile;
  readonly release: Release;
  /** Domains that the recording has made. */
  readonly known = new Set<number>();
  /** Parameters that the recording has set or read, as `domid.name`. */
  readonly params = new Set<string>();
  guests = 0;
  /** What steps are about when they do not say. */
  current: number | null = null;

  /** @param hypervisor a first handle on the machine */
  constructor(hypervisor: Hypervisor, path: string) {
    using probe = new Probe(hypervisor);
    const { release, head, notes } = describeMachine(hypervisor, probe);
    this.release = release;
    this.file = new RecordFile(path, head);
    for (const note of notes) this.file.note(note);
  }
}

/** Adds the calls of one handle to a recording. */
export class Recorder implements Observer {
  readonly #hypervisor: Hypervisor;
  readonly #recording: Recording;

  constructor(hypervisor: Hypervisor, recording: Recording) {
    this.#hypervisor = hypervisor;
    this.#recording = recording;
  }

  hypercall(op: number, args: readonly number[]): (rc: number) => void {
    const decoded = decode(this.#recording.release, op, args, this.#hypervisor.arena);
    const { domid } = decoded;
    if (domid !== undefined && domid > 0 && domid < DOMID_FIRST_RESERVED) this.#meet(domid, decoded.name);
    return (rc) => this.#told(decoded, rc);
  }

  restricted(domid: number): void {
    this.#recording.file.note(`the handle was restricted to domain ${domid}`);
  }

  /** A domain that the recording has not made: steps that make one like it come first. */
  #meet(domid: number, call: string): void {
    const { known, file, release, guests } = this.#recording;
    if (known.has(domid) || call === 'xc_domain_create') return;
    try {
      using probe = new Probe(this.#hypervisor);
      const existing = describeDomain(probe, release, domid, guests + 1);
      if (!existing) return;
      for (const step of existing.steps) file.step(step);
      for (const note of existing.notes) file.note(note);
    } catch (error) {
      if (!(error instanceof ArenaFullError)) throw error;
      file.note(`domain ${domid} existed before the recording, and no memory was left to ask about it`);
    }
    this.#made(domid);
  }

  #made(domid: number): void {
    this.#recording.known.add(domid);
    this.#recording.guests++;
    this.#recording.current = domid;
  }

  #told(decoded: Decoded, rc: number): void {
    if (!decoded.exact) {
      this.#recording.file.note(
        `${decoded.name} ${JSON.stringify(jsonOf(decoded.args))} was made, and is not part of the recording`,
      );
      return;
    }
    const { domid, name } = decoded;
    const out = rc < 0 ? {} : (decoded.out?.(rc) ?? {});
    const step = {
      as: 'dom0',
      call: name,
      args: jsonOf(decoded.args),
      ...(domid !== undefined && domid !== this.#recording.current && { target: domid }),
      expect: expectation(decoded, rc, out),
    };
    if (rc === -errno.EPERM) this.#recording.file.note('a call was refused with EPERM; a replay has every privilege');
    this.#beforeStep(decoded, rc, out);
    this.#recording.file.step(step);
    this.#afterStep(decoded, rc, out);
  }

  /** A parameter that somebody else had set is set here, too, before it is read. */
  #beforeStep({ domid, name, args }: Decoded, rc: number, out: DecodedValues): void {
    const { param } = args;
    const key = `${domid}.${String(param)}`;
    if (rc < 0 || domid === undefined || this.#recording.params.has(key)) return;
    if (name !== 'xc_hvm_param_get' && name !== 'xc_hvm_param_set') return;
    this.#recording.params.add(key);
    if (name === 'xc_hvm_param_set' || out['value'] === 0 || param === HVM_PARAM_NAMES[HVM_PARAM_ALTP2M]) return;
    this.#recording.file.step({
      phase: 'before the recording',
      as: 'dom0',
      call: 'xc_hvm_param_set',
      args: jsonOf({ param: param ?? '', value: out['value'] ?? 0 }),
      target: domid,
      expect: { rc: 0 },
    });
  }

  #afterStep({ domid, name, args }: Decoded, rc: number, out: DecodedValues): void {
    if (rc < 0 || domid === undefined) return;
    if (name === 'xc_domain_create') this.#made(Number(out['domid']));
    if (name === 'xc_domain_destroy') this.#forget(domid);
    if (name === 'xc_domain_unpause' && this.#hypervisor.kind !== 'model') {
      this.#recording.file.note(`domain ${domid} ran: answers that depend on what it did may differ`);
    }
    if (name === 'xc_hvm_param_set') this.#recording.params.add(`${domid}.${String(args['param'])}`);
  }

  #forget(domid: number): void {
    this.#recording.known.delete(domid);
    for (const key of this.#recording.params) if (key.startsWith(`${domid}.`)) this.#recording.params.delete(key);
  }
}

/** What a replay must answer. */
function expectation({ name, domid, args }: Decoded, rc: number, out: DecodedValues): Record<string, unknown> {
  const failure = (code: number): Record<string, unknown> => ({ rc: -1, errno: errnoName(code) });
  if (name === 'xc_version' && !everyReleaseHas(args)) return {};
  if (rc < 0) return failure(rc);
  if (name === 'xc_version' && args['cmd'] === XENVER_get_features) return { rc: 0 };
  // up to 4.17 Xen answers with the next domain where there is none; libxc's caller sees that it is another
  if (name === 'xc_domain_getinfo_single' && out['domain'] !== domid) return failure(-errno.ESRCH);
  if (name === 'xc_domain_getinfo_single' && domid === DOM0) return { rc: 0 };
  const told = OUT[name] ?? Object.keys(out);
  const values = Object.fromEntries(told.map((key) => [key, out[key] ?? 0]));
  return told.length === 0 ? { rc: 0 } : { rc: 0, out: jsonOf(values) };
}

/** False for commands whose success is the build's own. */
function everyReleaseHas({ cmd }: DecodedValues): boolean {
  const number = Number(cmd);
  return number !== XENVER_build_id && (number < XENVER_extraversion2 || number > XENVER_commandline2);
}

/** Decoded values as JSON holds them. */
function jsonOf(values: DecodedValues): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, valueToJson(value)]));
}

function valueToJson(value: DecodedValue): unknown {
  if (typeof value === 'string') return value;
  if (typeof value === 'bigint') return u64ToJson(value);
  return typeof value === 'number' ? value : value.map(valueToJson);
}
