/** Programs that run to their end, quickly, and whose output matters. */

import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';

export interface Captured {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program without a shell and without input. A program that cannot be started gives exit code 127. */
export function capture(command: string, args: readonly string[], cwd?: string): Promise<Captured> {
  return new Promise((done) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...(cwd === undefined ? {} : { cwd }) });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', (error) => done({ exitCode: 127, stdout, stderr: error.message }));
    child.once('close', (code) => done({ exitCode: code ?? 1, stdout, stderr }));
  });
}

/**
 * Where a shell would find a program.
 *
 * @param path as in the environment's PATH
 * @param cwd for names with a slash and for relative folders of the path
 * @returns an absolute path, or null
 */
export function findProgram(name: string, path: string, cwd: string = process.cwd()): string | null {
  const candidates = name.includes('/')
    ? [isAbsolute(name) ? name : resolve(cwd, name)]
    : path.split(delimiter).map((folder) => join(resolve(cwd, folder), name));
  return candidates.find(isProgram) ?? null;
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** What the PATH lacks for ordinary users of some machines. */
export function programPath(environment: NodeJS.ProcessEnv = process.env): string {
  return [environment['PATH'] ?? '/usr/bin:/bin', '/usr/sbin', '/sbin'].join(delimiter);
}
