// Many rows at once, in SQLite and PostgreSQL, from one description: SQLite takes them one by one with a statement that is
// prepared once, PostgreSQL as one array for each column. rows.ts says what is written.
import { CompiledQuery, type Kysely } from 'kysely';
import type { MonitoringDatabase } from './database.ts';
import { type Schema, tables } from './schema.ts';
import type { SqliteStatement } from './sqlite.ts';
import type { Value } from './task-rows.ts';

type TableName = keyof typeof tables;
export type Rows = readonly (readonly Value[])[];

/** One transaction at a time: every call until its end belongs to it. */
export class Bulk {
  readonly #database: MonitoringDatabase;
  readonly #prepared = new Map<string, SqliteStatement>();
  #one: Kysely<Schema>;

  constructor(database: MonitoringDatabase) {
    this.#database = database;
    this.#one = database.db;
  }

  /** Runs `body` in a transaction: all of it is written, or nothing. */
  async transaction(body: () => Promise<void>): Promise<void> {
    const { db, dialect } = this.#database;
    await db.connection().execute(async (one) => {
      this.#one = one;
      await this.run(dialect === 'sqlite' ? 'begin immediate' : 'begin');
      try {
        await body();
        await this.run('commit');
      } catch (error) {
        await this.run('rollback').catch(() => {}); // The first error says why; a full disk has rolled back already.
        throw error;
      } finally {
        this.#one = db;
      }
    });
  }

  /** Inserts rows. `conflict` is what stands behind `on conflict`. */
  async insert(table: TableName, columns: readonly string[], rows: Rows, conflict?: string): Promise<void> {
    if (rows.length === 0) return;
    const names = columns.map(quoted).join(', ');
    const end = conflict === undefined ? '' : ` on conflict ${conflict}`;
    if (this.#database.sqlite !== undefined) {
      const marks = `(${columns.map(() => '?').join(', ')})`;
      this.#byMany(
        (count) => `insert into ${quoted(table)} (${names}) values ${Array(count).fill(marks).join(', ')}${end}`,
        rows,
      );
    } else {
      await this.run(
        `insert into ${quoted(table)} (${names}) select * from unnest(${this.#arrays(table, columns)})${end}`,
        transposed(columns.length, rows),
      );
    }
  }

  /** Inserts `count` rows. `put` writes the values of one into a list, from `at` on; `fixed` has what is the same in all of them. */
  async insertMany(
    table: TableName,
    fixed: Readonly<Record<string, number>>,
    columns: readonly string[],
    count: number,
    put: (index: number, to: Value[], at: number) => void,
  ): Promise<void> {
    if (count === 0) return;
    const width = columns.length;
    const names = [...Object.keys(fixed), ...columns].map(quoted).join(', ');
    const literals = Object.values(fixed).map((value) => `${Math.round(value)}, `);
    if (this.#database.sqlite === undefined) {
      const rows = Array.from({ length: count }, (_, index) => {
        const row: Value[] = Array(width).fill(null);
        put(index, row, 0);
        return row;
      });
      await this.run(
        `insert into ${quoted(table)} (${names}) select ${literals.join('')}* from unnest(${this.#arrays(table, columns)})`,
        transposed(width, rows),
      );
      return;
    }
    const mark = `(${literals.join('')}${columns.map(() => '?').join(', ')})`;
    for (let index = 0; index < count; ) {
      const atOnce = count - index >= rowsAtOnce ? rowsAtOnce : 1;
      const statement = this.#prepare(
        `insert into ${quoted(table)} (${names}) values ${Array(atOnce).fill(mark).join(', ')}`,
      );
      const values: Value[] = Array(atOnce * width).fill(null);
      // As many as go with this statement.
      for (const end = count - ((count - index) % atOnce); index < end; index += atOnce) {
        for (let row = 0; row < atOnce; row++) put(index + row, values, row * width);
        statement.run(values);
      }
    }
  }

  /**
   * Updates rows by the columns of `key`, which stand last in each of `rows`. `set` gives the new value of a column, from
   * the old one and the given one, both as SQL.
   */
  async update(
    table: TableName,
    columns: readonly string[],
    key: readonly string[],
    rows: Rows,
    set: (old: string, given: string, column: string) => string,
  ): Promise<void> {
    if (rows.length === 0) return;
    if (this.#database.sqlite !== undefined) {
      this.#updateSqlite(table, columns, key, rows, set);
      return;
    }
    const all = [...columns, ...key];
    const sets = columns
      .map((column) => `${quoted(column)} = ${set(`t.${quoted(column)}`, `g.${quoted(column)}`, column)}`)
      .join(', ');
    const where = key.map((column) => `t.${quoted(column)} = g.${quoted(column)}`).join(' and ');
    await this.run(
      `update ${quoted(table)} t set ${sets} from unnest(${this.#arrays(table, all)}) as g(${all.map(quoted).join(', ')}) where ${where}`,
      transposed(all.length, rows),
    );
  }

  #updateSqlite(
    table: TableName,
    columns: readonly string[],
    key: readonly string[],
    rows: Rows,
    set: (old: string, given: string, column: string) => string,
  ): void {
    const name = quoted(table);
    const sets = columns.map(
      (column, at) => `${quoted(column)} = ${set(`${name}.${quoted(column)}`, `g.column${at + 1}`, column)}`,
    );
    const where = key.map((column, at) => `${name}.${quoted(column)} = g.column${columns.length + at + 1}`);
    const marks = `(${[...columns, ...key].map(() => '?').join(', ')})`;
    const text = (count: number): string =>
      `update ${name} set ${sets.join(', ')} from (values ${Array(count).fill(marks).join(', ')}) as g where ${where.join(' and ')}`;
    this.#byMany(text, rows);
  }

  /** Several rows a call, since what a call costs is more than what a row does; the rest one by one. */
  #byMany(text: (count: number) => string, rows: Rows): void {
    const many = rows.length - (rows.length % rowsAtOnce);
    if (many > 0) {
      const statement = this.#prepare(text(rowsAtOnce));
      for (let first = 0; first < many; first += rowsAtOnce) {
        const values: Value[] = [];
        for (let index = first; index < first + rowsAtOnce; index++) {
          const row = rows[index] as readonly Value[];
          for (let column = 0; column < row.length; column++) values.push(row[column] as Value);
        }
        statement.run(values);
      }
    }
    if (many === rows.length) return;
    const statement = this.#prepare(text(1));
    for (const row of rows.slice(many)) statement.run(row);
  }

  /** The first row of a query; `?` stand for the parameters. */
  async first(text: string, parameters: readonly unknown[]): Promise<Readonly<Record<string, unknown>> | undefined> {
    const { sqlite } = this.#database;
    const rows =
      sqlite === undefined
        ? (await this.#one.executeQuery(CompiledQuery.raw(numbered(text), [...parameters]))).rows
        : this.#prepare(text).all(parameters);
    return rows[0] as Readonly<Record<string, unknown>> | undefined;
  }

  /** One statement; `?` stand for the parameters. */
  async run(text: string, parameters: readonly unknown[] = []): Promise<void> {
    const { sqlite } = this.#database;
    if (sqlite !== undefined) {
      if (parameters.length === 0) sqlite.exec(text);
      else this.#prepare(text).run(parameters);
      return;
    }
    await this.#one.executeQuery(CompiledQuery.raw(numbered(text), [...parameters]));
  }

  #prepare(text: string): SqliteStatement {
    let statement = this.#prepared.get(text);
    if (statement === undefined) {
      statement = (this.#database.sqlite as NonNullable<MonitoringDatabase['sqlite']>).prepare(text);
      this.#prepared.set(text, statement);
    }
    return statement;
  }

  #arrays(table: TableName, columns: readonly string[]): string {
    const types: Readonly<Record<string, string>> = tables[table].columns;
    return columns
      .map((column) => {
        const type = types[column] ?? 'text';
        return `?::${type.startsWith('text') ? 'text' : type.startsWith('real') ? 'double precision' : 'bigint'}[]`;
      })
      .join(', ');
  }
}

const rowsAtOnce = 64;

/** As PostgreSQL has its parameters. */
function numbered(text: string): string {
  let number = 0;
  return text.replaceAll('?', () => `$${++number}`);
}

function quoted(name: string): string {
  return `"${name}"`;
}

function transposed(width: number, rows: Rows): Value[][] {
  return Array.from({ length: width }, (_, column) => rows.map((row) => row[column] ?? null));
}
