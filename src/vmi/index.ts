/** `xenctrl/vmi`: looking into guests. Re-exports only. */

export type { HvmCpu } from '../xc/hvm_cpu.js';
export { type Address, hexAddress, toBigint, toNumber } from './address.js';
export { AddressSpace } from './address_space.js';
export { DomainMemory, type DomainMemoryOptions } from './domain_memory.js';
export { type DumpOptions, type DumpResult, diffMemory, dumpMemory, type FrameDifference } from './dump.js';
export { type FaultReason, MemoryFault } from './fault.js';
export { type ImageFormat, MemoryImage } from './image.js';
export { ImageFormatError, type ImageRun } from './image_run.js';
export { Introspector, type IntrospectorOptions } from './introspector.js';
export type { FieldSpec, Layout, LayoutValues } from './layout.js';
export { Linux, type LinuxOptions, type LinuxProcess, type LinuxProcesses } from './linux.js';
export { GuestMismatchError } from './linux_find.js';
export { type LinuxProfileParts, linuxProfile } from './linux_profile.js';
export type { Memory } from './memory.js';
export type { MemorySource, Page } from './memory_source.js';
export type {
  Mapped,
  NotMapped,
  NotMappedReason,
  Paging,
  PagingMode,
  PagingRegisters,
  Walk,
  WalkStep,
} from './paging.js';
export { pagingOf } from './paging.js';
export { type Pattern, PatternError, pattern, textPattern } from './pattern.js';
export type { PhysicalMemory } from './physical_memory.js';
export { Profile, ProfileError, StructType } from './profile.js';
export { type Sample, type SampleOptions, type SampleProcess, sampleLinux } from './sample_linux.js';
export type { SearchOptions } from './search.js';
export type { HookHandler, HookPlace, StealthHook } from './stealth/hook.js';
export { StealthHooks, type StealthHooksOptions, type StepMode } from './stealth/stealth_hooks.js';
export { Windows, type WindowsProcess, type WindowsProcesses } from './windows.js';
