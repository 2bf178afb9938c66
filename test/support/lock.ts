// A SQLite database that another process locks, as one that writes on a network file system does: without WAL, where readers are
// kept out meanwhile.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { openSqlite } from '#src/monitoring/sqlite.js';

const program = `
import { openSqlite } from ${JSON.stringify(import.meta.resolve('#src/monitoring/sqlite.js'))};
const database = openSqlite(process.argv[1], 'write');
database.exec('begin exclusive');
process.stdout.write('locked');
process.stdin.once('data', () => {
  database.exec('commit');
  database.close();
  process.stdin.destroy();
});
`;

export interface Lock {
  /** Resolves when it is free again. */
  release(): Promise<void>;
}

/** A copy of the database `from` that has no WAL. */
export function copyWithoutWal(from: string, to: string): void {
  const database = openSqlite(from, 'write');
  try {
    database.exec(`vacuum into '${to}'`);
  } finally {
    database.close();
  }
}

/** Locks `path` for all others, by a process of its own that ends with the test at the latest. */
export async function lockElsewhere(t: TestContext, path: string): Promise<Lock> {
  const child: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', program, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await Promise.race([
    once(child.stdout as NonNullable<typeof child.stdout>, 'data'),
    ended.then(() => {
      throw new Error(`${path} could not be locked`);
    }),
  ]);
  return {
    async release() {
      child.stdin?.write('go on\n');
      await ended;
    },
  };
}
