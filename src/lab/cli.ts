#!/usr/bin/env node
/** `npm run lab -- COMMAND...`: runs a command in the dom0 of a real Xen. */

import { labMain } from './main.js';

process.exitCode = await labMain(process.argv.slice(2));
