/** What a domain is made with, and what a snapshot keeps of it. */

import type { Altp2mState } from './altp2m.js';
import type { EventPortState } from './event_channels.js';
import type { FrameTypesState } from './frame_types.js';
import type { P2mState } from './p2m.js';
import type { DomainIoState } from './pci/snapshot.js';
import type { VcpuState } from './vcpu.js';
import type { MonitorState } from './vm_event/monitor_options.js';
import type { VmEventRingState } from './vm_event/ring.js';

/** What a domain is made with. */
export interface DomainConfig {
  readonly domid: number;
  readonly type: 'hvm' | 'pv';
  readonly hap: boolean;
  readonly nestedVirt: boolean;
  readonly maxVcpus: number;
  readonly handle: Uint8Array;
  readonly altp2mMode: number;
  /** Views that altp2m may have: 10 up to Xen 4.20. */
  readonly nrAltp2m: number;
  readonly ssidref: number;
  readonly emulationFlags: number;
  /** The last event channel port that it may have. */
  readonly maxEvtchnPort: number;
  /** Frames that its grant table may have. */
  readonly maxGrantFrames: number;
  /** Bytes of each vCPU's trace buffer; 0: there are none. */
  readonly vmtraceSize: number;
  /** The IOMMU may give its devices access to its memory. Default false. */
  readonly iommu?: boolean;
  /** Width of the pointers in its hypercalls. Default 64. */
  readonly abi?: 32 | 64;
}

/** A saved {@link Domain}: plain JSON. */
export interface DomainState {
  readonly config: Omit<DomainConfig, 'handle'> & { readonly handle: string };
  /** 64 bits each, in decimal digits. */
  readonly params: readonly string[];
  readonly defaultAccess: number;
  readonly maxPages: number;
  readonly totPages: number;
  readonly pagingPoolBytes: number;
  readonly pauseCount: number;
  readonly shutdownCode: number | null;
  readonly accessRequired: boolean;
  readonly debugged: boolean;
  readonly p2m: P2mState;
  /** Absent in those of earlier releases. */
  readonly frameTypes?: FrameTypesState;
  /** Absent where there are no devices. */
  readonly io?: DomainIoState;
  readonly altp2m: Altp2mState;
  readonly vcpus: readonly VcpuState[];
  readonly events: readonly EventPortState[];
  readonly monitor: MonitorState;
  readonly ring: VmEventRingState | null;
  readonly memSharing: boolean;
  /** Whose fork it is. */
  readonly parent: number | null;
  readonly sharedInfo: number | null;
  readonly grants: readonly number[];
  /** Machine frame of Xen's, and the frame that shows it. */
  readonly shown: readonly (readonly [mfn: number, gfn: number])[];
}
