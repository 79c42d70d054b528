/**
 * What a guest's frames are besides plain memory (`p2m_type_t`), and which of them log-dirty mode still watches. Frames
 * that nobody has named are ram_rw.
 */

export type FrameType = 'ram_rw' | 'ram_ro' | 'ram_logdirty' | 'mmio_dm' | 'mmio_direct' | 'ioreq_server';

/** A saved {@link FrameTypes}: plain JSON. */
export interface FrameTypesState {
  readonly types: readonly (readonly [gfn: number, type: FrameType])[];
  /** Frames written since log-dirty mode began; null while it is off. */
  readonly written: readonly number[] | null;
}

export class FrameTypes {
  readonly #types = new Map<number, FrameType>();
  #written: Set<number> | null = null;

  /** Log-dirty mode makes ram_rw frames ram_logdirty until the guest writes them. */
  of(gfn: number): FrameType {
    const type = this.#types.get(gfn) ?? 'ram_rw';
    return type === 'ram_rw' && this.#written && !this.#written.has(gfn) ? 'ram_logdirty' : type;
  }

  set(gfn: number, type: FrameType): void {
    if (type === 'ram_rw') this.#types.delete(gfn);
    else this.#types.set(gfn, type);
  }

  /** Turns log-dirty mode on (all frames count as not written) or off. */
  logDirty(on: boolean): void {
    this.#written = on ? new Set() : null;
  }

  /** The guest's processor has written a frame. */
  noteWrite(gfn: number): void {
    this.#written?.add(gfn);
  }

  save(): FrameTypesState {
    return { types: [...this.#types], written: this.#written && [...this.#written] };
  }

  restore(state: FrameTypesState): void {
    this.#types.clear();
    for (const [gfn, type] of state.types) this.#types.set(gfn, type);
    this.#written = state.written && new Set(state.written);
  }
}
