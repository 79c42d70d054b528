/** Sockets over Argo: `import { ArgoSocket } from 'xenctrl/argo'`. Re-exports only. */

export { ArgoDriver, type ArgoDriverOptions } from './driver.js';
export { ArgoServer, ArgoSocket, argoConnect } from './socket.js';
