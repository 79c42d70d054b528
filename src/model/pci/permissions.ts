/** What a domain may use of something numbered: frames of devices, ports (Xen's `rangeset` of a domain). */

type Run = readonly [first: number, last: number];

export class Permissions {
  /** Apart from each other, from the lowest on. */
  #runs: Run[] = [];

  permit(first: number, last: number): void {
    const apart = this.#runs.filter(([from, to]) => to < first - 1 || from > last + 1);
    const touching = this.#runs.filter(([from, to]) => to >= first - 1 && from <= last + 1);
    const all: Run = [
      Math.min(first, ...touching.map(([from]) => from)),
      Math.max(last, ...touching.map(([, to]) => to)),
    ];
    this.#runs = [...apart, all].sort(([a], [b]) => a - b);
  }

  deny(first: number, last: number): void {
    this.#runs = this.#runs.flatMap(([from, to]): Run[] => {
      const left: Run[] = from < first ? [[from, Math.min(to, first - 1)]] : [];
      const right: Run[] = to > last ? [[Math.max(from, last + 1), to]] : [];
      return [...left, ...right];
    });
  }

  permits(first: number, last = first): boolean {
    return this.#runs.some(([from, to]) => from <= first && to >= last);
  }

  get runs(): readonly Run[] {
    return this.#runs;
  }

  set runs(runs: readonly Run[]) {
    this.#runs = [...runs];
  }
}
