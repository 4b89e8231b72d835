/**
 * What figures were measured on: a figure without it says nothing.
 *
 * Imports nothing of the project. Imported by bench/ and cli/bench.
 */
import { execFileSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { arch, cpus, platform, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

export interface Machine {
  readonly cpu: string;
  /** Processors that the system has, hardware threads counted each. */
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
}

export function describeMachine(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() || 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    platform: `${platform()} ${arch()}`,
  };
}

/** The package, from dist/bench/. */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The commit that is checked out, or null when the package does not lie at the top of a git work tree of its own. */
export function currentCommit(): string | null {
  try {
    const output = execFileSync('git', ['rev-parse', '--show-toplevel', 'HEAD'], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [top, commit] = output.trim().split('\n');
    // An installed package may lie within the work tree of somebody else.
    return realpathSync(top) === realpathSync(ROOT) && commit ? commit : null;
  } catch {
    return null;
  }
}

let collect: (() => void) | undefined;

/**
 * Frees what is unreachable, tables of earlier runs above all, so that neither their memory nor the collector's work
 * falls into the next measurement.
 */
export function collectGarbage(): void {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  // Twice: the first pass frees the object that owns a table, the second the table.
  collect();
  collect();
}
