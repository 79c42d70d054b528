/** Runs the test files named as arguments in this one process: `node all.js altp2m.test.js ...`. */

for (const file of process.argv.slice(2)) await import(`./${file}`);
