/** Sockets over Argo: `import { ArgoSocket } from 'xenctrl/argo'`. Re-exports only. */

export { ArgoDriver, type ArgoDriverOptions } from './driver.js';
export { type DeviceOptions, OpenXtServer, OpenXtSocket, OpenXtStream, openxtConnect } from './openxt.js';
export { openxtArgo } from './openxt_device.js';
export { ArgoServer, ArgoSocket, argoConnect } from './socket.js';
