/** The lab: a real Xen in an emulator, for tests. */

export { EXIT_LAB_FAILED, EXIT_TIMED_OUT, LabError } from './error.js';
export { labMain } from './main.js';
export type { LabEngine, LabOptions, LabOutput, LabResult } from './options.js';
export { runLab } from './run.js';
