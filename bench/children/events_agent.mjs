// The agent in the Worker: what the C program does, too.

export default () => (event) => {
  event.respond({ emulate: true });
};
