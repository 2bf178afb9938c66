// Which Python a pool stands for: the interpreter's version, its Parsl's, and its packages, as a registration names them. Interchanges
// compare them with their own, and Parsl's ends its whole run when they differ. main.ts asks once, when it must be known.
import { execFile } from 'node:child_process';
import type { Result } from '../base/result.ts';
import { type Era, eraOfRelease } from '../wire/messages/era.ts';
import type { Packages } from '../wire/messages/manager.ts';

/** An interpreter, and what is installed for it. */
export interface PythonFacts {
  /** As it was called. */
  readonly command: string;
  /** `3.11.7` */
  readonly version: string;
  /** As Parsl itself writes it, `2026.07.06`; `undefined` when it is not installed. */
  readonly parsl: string | undefined;
  readonly packages: Packages;
}

/** What is tried when none is named. */
export const usualPythons = ['python3', 'python'] as const;

const patienceMs = 20_000;

/**
 * Asks an interpreter about itself.
 *
 * @param named program or path; `undefined` tries {@link usualPythons}
 * @returns a sentence that names everything that was tried, if none runs
 * @example
 * const python = await findPython('/opt/venv/bin/python');
 */
export async function findPython(named: string | undefined): Promise<Result<PythonFacts>> {
  const faults: string[] = [];
  for (const command of named === undefined ? usualPythons : [named]) {
    const found = await ask(command);
    if (found.ok) return found;
    faults.push(`${command}: ${found.error}`);
  }
  return {
    ok: false,
    error: `No Python was found; tried ${faults.join('; ')}. Name one with --python, or put it first in PATH.`,
  };
}

/** The era in which Parsl's interchange of this environment talks; the newest for what is no release. */
export function eraOf(facts: PythonFacts): Era {
  return (facts.parsl === undefined ? undefined : eraOfRelease(facts.parsl)) ?? 'I';
}

function ask(command: string): Promise<Result<PythonFacts>> {
  return new Promise((resolve) => {
    execFile(command, ['-c', question], { timeout: patienceMs }, (error, stdout, stderr) => {
      if (error !== null) {
        const words = stderr.trim().split('\n').at(-1) ?? '';
        resolve({ ok: false, error: words === '' ? error.message : words });
        return;
      }
      resolve(read(command, stdout));
    });
  });
}

function read(command: string, text: string): Result<PythonFacts> {
  try {
    const told = JSON.parse(text) as { version: string; parsl: string | null; packages: Record<string, string> };
    const packages = new Map(Object.entries(told.packages));
    return { ok: true, value: { command, version: told.version, parsl: told.parsl ?? undefined, packages } };
  } catch {
    // A start-up file of the interpreter may print as it likes.
    return { ok: false, error: `it answered ${JSON.stringify(text.slice(0, 200))}` };
  }
}

/** Reads Parsl's version file and does not import Parsl: that takes as long as everything else together. */
const question = `
import importlib.util, json, os, sys
from importlib.metadata import distributions
found = importlib.util.find_spec("parsl")
parsl = None
if found is not None and found.origin is not None:
    names = {}
    with open(os.path.join(os.path.dirname(found.origin), "version.py")) as file:
        exec(file.read(), names)
    parsl = names["VERSION"]
packages = {}
for one in distributions():
    name, version = one.metadata["Name"], one.version
    if isinstance(name, str) and isinstance(version, str):
        packages[name] = version
print(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3], "parsl": parsl, "packages": packages}))
`;
