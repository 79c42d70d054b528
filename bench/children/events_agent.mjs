// The agent in the Worker: what the C program does, too.

// biome-ignore lint/style/noDefaultExport: the module of an agent has one
export default () => (event) => {
  event.respond({ emulate: true });
};
