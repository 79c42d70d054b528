#!/usr/bin/env node
// The command itself is dist/cli; this only finds it.

const { runProcess } = await import('../dist/cli/process.js').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  console.error(
    `xenctrl: not built yet (${error.message.split('\n')[0]})\n  \`npm install\` in the checkout builds it`,
  );
  process.exit(1);
});
await runProcess();
