/** The Xen that a command talks to, and the domains as its user names them. */

import '../adapters.js';
import { readFileSync } from 'node:fs';
import { isRelease } from '../abi/release.js';
import { DOMID_FIRST_RESERVED } from '../abi/xen.js';
import { XenError } from '../hypervisor/error.js';
import type { BackendName } from '../hypervisor/open.js';
import { DEFAULT_SCENARIO, parseScenario, runScenario, type Scenario } from '../model/scenario.js';
import { ScenarioError } from '../model/scenario_value.js';
import type { Domain } from '../xen/domain.js';
import { Xen } from '../xen/xen.js';
import type { Context, Outcome } from './command.js';
import { CommandError, UsageError } from './exit.js';
import type { ParsedOptions } from './options.js';

export class Session implements Disposable {
  readonly xen: Xen;
  /** Names by UUID; of a software Xen only. */
  readonly #names: ReadonlyMap<string, string>;

  constructor(xen: Xen, names: ReadonlyMap<string, string>) {
    this.xen = xen;
    this.#names = names;
  }

  get hasNames(): boolean {
    return this.#names.size > 0;
  }

  /** A domain's name, null when it has none that is known. */
  nameOf(uuid: string): string | null {
    return this.#names.get(uuid) ?? null;
  }

  /**
   * The domain that a user means by an id, a UUID or a name.
   *
   * @throws CommandError when there is none
   */
  domain(text: string): Domain {
    try {
      return this.xen.domain(this.#which(text));
    } catch (error) {
      if (!(error instanceof XenError) || error.code !== 'ESRCH') throw error;
      throw new CommandError('ESRCH', `there is no domain ${text}`, '`xenctrl list` shows those that there are');
    }
  }

  #which(text: string): number | string {
    if (/^\d+$/.test(text)) {
      const id = Number(text);
      if (id < DOMID_FIRST_RESERVED) return id;
      throw new UsageError(`'${text}' is no domain id: they are from 0 to ${DOMID_FIRST_RESERVED - 1}`);
    }
    if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text;
    for (const [uuid, name] of this.#names) if (name === text) return uuid;
    throw new CommandError(
      'ESRCH',
      `there is no domain called '${text}'`,
      this.xen.kind === 'model'
        ? '`xenctrl list` shows those that there are'
        : "names are xenstore's, which is not asked yet: give the id or the UUID (`xl domid NAME` tells the id)",
    );
  }

  [Symbol.dispose](): void {
    this.xen.close();
  }
}

/** Opens the Xen that the options ask for. */
export function openSession(options: ParsedOptions): Session {
  const backend = options.get('backend') as BackendName | 'auto' | undefined;
  const ofModel = (['scenario', 'release'] as const).find((name) => options.get(name) !== undefined);
  if (ofModel !== undefined && backend !== undefined && backend !== 'model') {
    throw new UsageError(`--${ofModel} describes a software Xen: it goes with --backend model, not ${backend}`);
  }
  if (ofModel !== undefined || backend === 'model') {
    return inScenario(options.get('scenario'), () => openModel(scenarioOf(options)));
  }
  const xen = Xen.open(backend === undefined ? {} : { backend });
  if (xen.kind !== 'model') return new Session(xen, new Map());
  xen.close();
  return openModel(DEFAULT_SCENARIO);
}

function openModel(scenario: Scenario): Session {
  const { xen, guests } = runScenario(scenario);
  const opened = Xen.open({ hypervisor: xen });
  const names = new Map<string, string>();
  for (const { name, guest } of guests) {
    if (name !== null) names.set(opened.domain(guest.domid).uuid, name);
  }
  return new Session(opened, names);
}

function scenarioOf(options: ParsedOptions): Scenario {
  const file = options.get('scenario');
  const release = options.get('release');
  const scenario = file === undefined ? DEFAULT_SCENARIO : readScenario(file);
  return release !== undefined && isRelease(release) ? { ...scenario, release } : scenario;
}

function readScenario(file: string): Scenario {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`--scenario ${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  return parseScenario(text);
}

/** Says which file a mistake is in. */
function inScenario<T>(file: string | undefined, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error;
    throw new UsageError(`${file ?? 'the scenario'}: ${error.message}`, 'docs/scenario.md describes the format');
  }
}

/** Runs a command on a Xen that is open as long as it runs, and says so when that Xen is a model. */
export function onXen(context: Context, run: (session: Session) => Outcome | Promise<Outcome>): Promise<Outcome> {
  return onSession(() => openSession(context.options), run);
}

/** As {@link onXen}, on a Xen of the command's own. */
export async function onSession(
  open: () => Session,
  run: (session: Session) => Outcome | Promise<Outcome>,
): Promise<Outcome> {
  using session = open();
  const outcome = await run(session);
  if (session.xen.kind !== 'model') return outcome;
  const aside = `This was a software Xen ${session.xen.version.text} inside this command: its state has ended with it.`;
  return { aside, ...outcome };
}

/** Refuses to change dom0 by mistake. */
export function guardDom0(domain: Domain, options: ParsedOptions): Domain {
  if (domain.domid !== 0 || options.has('force')) return domain;
  throw new CommandError('ERR_DOM0', 'domain 0 is dom0 itself', 'add --force if you mean it');
}
