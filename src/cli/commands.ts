/** The commands. */

import { type Commands, commands } from './command.js';

export const COMMANDS: Commands = commands({
  demo: async () => (await import('./demo/command.js')).demo,
  doctor: async () => (await import('./doctor/command.js')).doctor,
  info: async () => (await import('./info.js')).info,
  list: async () => (await import('./list.js')).list,
  altp2m: async () => (await import('./altp2m/command.js')).altp2m,
  mem: async () => (await import('./mem/command.js')).mem,
  vcpu: async () => (await import('./vcpu/command.js')).vcpu,
  topology: async () => (await import('./topology.js')).topology,
  dmesg: async () => (await import('./dmesg.js')).dmesgCommand,
  'debug-keys': async () => (await import('./debug_keys.js')).debugKeys,
  argo: async () => (await import('./argo/command.js')).argo,
  v4v: async () => (await import('./v4v/command.js')).v4v,
  net: async () => (await import('./net/command.js')).net,
  pci: async () => (await import('./pci/command.js')).pci,
  monitor: async () => (await import('./monitor/command.js')).monitor,
  lab: async () => (await import('./lab.js')).lab,
  completion: async () => (await import('./completion.js')).completion,
});

export const COMMAND_NAMES: readonly string[] = [...COMMANDS.keys()];
