// A monitoring database as the first version of our tables had it, with rows of one of today: for tests of what reads it.
// Its statements are those that the first migration ran then, kept in test/fixtures/monitoring.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import pg from 'pg';
import { openDatabase } from '#src/monitoring/database.js';
import { tables } from '#src/monitoring/schema.js';
import { openSqlite } from '#src/monitoring/sqlite.js';

const statements = readFileSync(join(import.meta.dirname, '../fixtures/monitoring/version-1.sql'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('--'));

type Row = Readonly<Record<string, number | string | null>>;

/** Makes the SQLite file `path`, with the rows of `from`. */
export async function makeOlder(path: string, from: string): Promise<void> {
  const database = openSqlite(path, 'write');
  try {
    database.exec('pragma journal_mode = wal');
    database.exec('begin');
    for (const statement of statements) database.exec(statement);
    await copy(from, async (table, columns, row) => {
      const marks = columns.map(() => '?').join();
      database.prepare(`insert into "${table}" (${names(columns)}) values (${marks})`).run(Object.values(row));
    });
    database.exec('insert into chervil_schema (version) values (1)');
    database.exec('commit');
    database.exec('pragma wal_checkpoint(truncate)');
  } finally {
    database.close();
  }
}

/** Makes the tables in the empty PostgreSQL database `url`, with the rows of `from`, a SQLite file. */
export async function makeOlderPostgres(url: string, from: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of statements) {
      // As sqlType() in schema.ts had it; the views are made by whoever brings the tables up to date.
      if (/^create view/i.test(statement)) continue;
      await client.query(
        statement
          .replaceAll('integer primary key autoincrement', 'bigserial primary key')
          .replaceAll(/(" )integer/g, '$1bigint')
          .replaceAll(/(" )real/g, '$1double precision')
          .replaceAll(/(" )text/g, '$1text collate "C"')
          .replace(' without rowid', ''),
      );
    }
    await copy(from, async (table, columns, row) => {
      const marks = columns.map((_, index) => `$${index + 1}`).join();
      await client.query(`insert into "${table}" (${names(columns)}) values (${marks})`, Object.values(row));
    });
    await client.query('insert into chervil_schema (version) values (1)');
  } finally {
    await client.end();
  }
}

const added: readonly string[] = ['held_segment', 'held_offset'];

async function copy(
  from: string,
  insert: (table: string, columns: readonly string[], row: Row) => Promise<void>,
): Promise<void> {
  await using today = await openDatabase(from);
  for (const table of Object.keys(tables).filter((name) => name !== 'chervil_schema')) {
    const { rows } = await sql<Row>`select * from ${sql.table(table)}`.execute(today.db);
    for (const row of rows) {
      const older = Object.fromEntries(Object.entries(row).filter(([name]) => !added.includes(name)));
      await insert(table, Object.keys(older), older);
    }
  }
}

const names = (columns: readonly string[]): string => columns.map((name) => `"${name}"`).join();
