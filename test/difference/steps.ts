/** The steps that scripts and generated sequences are made of: a recording's, expecting nothing yet. */

/** A step of a recording. */
export type RawStep = Readonly<Record<string, unknown>>;
/** An agent's answer to an event, as `docs/recordings.md` has it. */
export type Answer = Readonly<Record<string, unknown>>;

export const dom0 = (call: string, args: RawStep = {}, more: RawStep = {}): RawStep => ({
  as: 'dom0',
  call,
  args,
  expect: {},
  ...more,
});
/** @param answers to the events that it may cause, in order; those that nobody needs are dropped */
export const guest = (call: string, args: RawStep = {}, answers: readonly Answer[] = []): RawStep => ({
  as: 'guest',
  vcpu: 0,
  call,
  args,
  ...(answers.length > 0 && { events: answers.map((answer) => ({ expect: {}, answer })) }),
  expect: {},
});

export const A = 0x40;
export const B = 0x41;
export const CODE = 0x42;
export const C = 0x43;
export const HOLE = 0x180;
export const VE = 0x50;
export const at = (gfn: number): number => gfn * 4096;

export const read = (gfn: number, ...answers: Answer[]): RawStep => guest('read', { gpa: at(gfn), bytes: 4 }, answers);
export const write = (gfn: number, value: number, ...answers: Answer[]): RawStep =>
  guest('write', { gpa: at(gfn), value, bytes: 4 }, answers);
export const vmfunc = (index: number, leaf = 0): RawStep => guest('vmfunc', { leaf, index });
export const vmfuncRead = (index: number, gfn: number, ...answers: Answer[]): RawStep =>
  // biome-ignore lint/suspicious/noThenProperty: the format's own name
  guest('vmfunc_read', { leaf: 0, index, gpa: at(gfn), bytes: 4, then: 'vmfunc(0,0)' }, answers);
export const visible = (view: number, shown: number): RawStep =>
  dom0('xc_altp2m_set_visibility', { view, visible: shown });
export const enter = (view: number): readonly RawStep[] => [dom0('xc_altp2m_switch_to_view', { view }), guest('nop')];

export function create(vcpus = 2): RawStep {
  return {
    do: 'createGuest',
    guest: 1,
    type: 'hvm',
    hap: true,
    vcpus,
    nestedVirt: false,
    altp2mModeAtCreate: 'disabled',
    maxmemKiB: 16384,
    populate: { first: 0, count: 128 },
    memory: { [A]: '0100aaaa', [B]: '0200bbbb', [C]: '0300cccc', [CODE]: 'b878563412c3' },
    expect: {},
  };
}
