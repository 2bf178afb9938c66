// Retention: deletes old runs from a monitoring database. Called by `chervil monitor prune`.
import type { MonitoringDatabase } from './database.ts';
import type { RunRow } from './reading.ts';
import { tables } from './schema.ts';

export interface PruneWish {
  /** Runs that ended before this time, in milliseconds. */
  readonly endedBefore: number | undefined;
  /** Keep so many of the newest, whatever their age. */
  readonly keep: number | undefined;
  readonly isDryRun: boolean;
}

/** Deletes runs that are over. @returns those that were deleted, or would have been */
export async function prune({ db, dialect }: MonitoringDatabase, wish: PruneWish): Promise<RunRow[]> {
  const runs = await db.selectFrom('runs').selectAll().orderBy('began', 'desc').execute();
  const old = runs.filter((run, index) => {
    // A run that goes on is nobody's to delete; one that was killed with its writer has not written for a day.
    const end =
      run.ended ?? (Date.now() - (run.written ?? run.began) > 86_400_000 ? (run.written ?? run.began) : undefined);
    if (end === undefined) return false;
    if (wish.keep !== undefined && index < wish.keep) return false;
    return wish.endedBefore === undefined ? wish.keep !== undefined : end < wish.endedBefore;
  });
  if (wish.isDryRun) return old;
  const names = Object.entries(tables).flatMap(([name, { columns }]) =>
    'run' in columns && name !== 'runs' ? [name] : [],
  );
  for (const { run } of old) {
    // Run by run: a writer that waits for the lock waits for one of them at most.
    await db.transaction().execute(async (one) => {
      for (const name of names)
        await one
          .deleteFrom(name as 'tasks')
          .where('run', '=', run)
          .execute();
      await one.deleteFrom('runs').where('run', '=', run).execute();
    });
  }
  // Gives the room back to the disk. Needs all of the file for itself: not while a run goes on.
  if (old.length > 0 && dialect === 'sqlite' && runs.every((run) => run.ended !== null || old.includes(run))) {
    const { sql } = await import('kysely');
    await sql`vacuum`.execute(db).catch(() => {}); // Somebody reads: the room is used again by later runs.
  }
  return old;
}
