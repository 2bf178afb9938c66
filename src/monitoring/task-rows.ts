// Rows of tasks in columns: an object for each of a million tasks would cost the collector more than all the rest costs
// the writer. batch.ts fills them, rows.ts writes what is in them.

export type Value = string | number | null;

/** Columns that most tasks have. */
export const plainColumns = [
  'app',
  'state',
  'try',
  'place',
  'invoked',
  'launched',
  'running',
  'running_ended',
  'returned',
  'stage',
  'arguments',
  'result',
] as const;
/** Columns that few have. */
export const rareColumns = ['pid', 'joining', 'parent', 'memo_key', 'inputs', 'outputs', 'stdout', 'stderr'] as const;
type PlainColumn = (typeof plainColumns)[number];
type RareColumn = (typeof rareColumns)[number];
export type TaskColumn = PlainColumn | RareColumn;
/** Columns of a task that may be told about it. */
export const taskColumns: readonly TaskColumn[] = [...plainColumns, ...rareColumns];
/** What belongs to one try alone, and begins anew with the next. */
export const tryColumns: readonly TaskColumn[] = [
  'place',
  'pid',
  'launched',
  'running',
  'running_ended',
  'joining',
  'returned',
];

/** What is known of columns that few tasks have. */
export type Rare = { [Column in RareColumn]?: Value };

const small = ['app', 'state', 'try', 'place', 'stage', 'batch'] as const;
const times = ['invoked', 'launched', 'running', 'running_ended', 'returned'] as const;

/** What is to be done with a row. */
const marks = { isNew: 1, isReset: 2, isHeld: 4, isForgotten: 8 } as const;

/** Tasks of one page of the index. */
const pageSize = 512;
/** A task that is tried again and again has a table for each try: they must be small. */
const smallest = 16;

/**
 * One row for each task, in the order in which they were added. What is not told of a row is -1 in a column of small numbers, NaN
 * in one of times, null in one of texts.
 */
export class TaskRows {
  task: Float64Array;
  app: Int32Array;
  state: Int32Array;
  try: Int32Array;
  place: Int32Array;
  stage: Int32Array;
  /** Number of the batch in which it was opened. */
  batch: Int32Array;
  invoked: Float64Array;
  launched: Float64Array;
  running: Float64Array;
  running_ended: Float64Array;
  returned: Float64Array;
  readonly arguments: (string | null)[] = [];
  readonly result: (string | null)[] = [];
  readonly rare = new Map<number, Rare>();
  #marks: Uint8Array;
  #length = 0;
  #room = smallest;
  /** Row + 1 of each task, by the page of its number; 0 for none. */
  readonly #pages = new Map<number, Int32Array>();
  #pageNumber = -1;
  #page: Int32Array = noPage;

  constructor() {
    const numbers = (): Int32Array => new Int32Array(smallest);
    const doubles = (): Float64Array => new Float64Array(smallest);
    this.task = doubles();
    this.app = numbers();
    this.state = numbers();
    this.try = numbers();
    this.place = numbers();
    this.stage = numbers();
    this.batch = numbers();
    this.invoked = doubles();
    this.launched = doubles();
    this.running = doubles();
    this.running_ended = doubles();
    this.returned = doubles();
    this.#marks = new Uint8Array(smallest);
  }

  /** Rows, the forgotten ones included. */
  get length(): number {
    return this.#length;
  }

  /** The row of a task; -1 when there is none. */
  find(task: number): number {
    const number = Math.floor(task / pageSize);
    if (number !== this.#pageNumber) {
      const page = this.#pages.get(number);
      if (page === undefined) return -1;
      this.#page = page;
      this.#pageNumber = number;
    }
    return (this.#page[task - number * pageSize] as number) - 1;
  }

  /** A row of which nothing is told yet, in the place of the one that the task has. */
  add(task: number): number {
    let row = this.find(task);
    if (row < 0) {
      row = this.#length++;
      if (row === this.#room) this.#grow();
      this.#pageOf(task)[task % pageSize] = row + 1;
    }
    this.task[row] = task;
    this.app[row] = -1;
    this.state[row] = -1;
    this.try[row] = -1;
    this.place[row] = -1;
    this.stage[row] = -1;
    this.batch[row] = -1;
    this.invoked[row] = Number.NaN;
    this.launched[row] = Number.NaN;
    this.running[row] = Number.NaN;
    this.running_ended[row] = Number.NaN;
    this.returned[row] = Number.NaN;
    this.arguments[row] = null;
    this.result[row] = null;
    this.#marks[row] = 0;
    if (this.rare.size > 0) this.rare.delete(row);
    return row;
  }

  /** Adds a row of another table. */
  copy(from: TaskRows, row: number): void {
    const to = this.add(from.task[row] as number);
    for (const column of small) this[column][to] = from[column][row] as number;
    for (const column of times) this[column][to] = from[column][row] as number;
    this.arguments[to] = from.arguments[row] ?? null;
    this.result[to] = from.result[row] ?? null;
    this.#marks[to] = (from.#marks[row] as number) & ~marks.isHeld;
    const rare = from.rare.get(row);
    if (rare !== undefined) this.rare.set(to, rare);
  }

  /** What few tasks have, to be added to. */
  rareOf(row: number): Rare {
    let rare = this.rare.get(row);
    if (rare === undefined) {
      rare = {};
      this.rare.set(row, rare);
    }
    return rare;
  }

  /** A column of a row. */
  value(row: number, column: TaskColumn): Value {
    switch (column) {
      case 'arguments':
      case 'result':
        return this[column][row] ?? null;
      case 'app':
      case 'state':
      case 'try':
      case 'place':
      case 'stage':
        return orNull(this[column][row] as number);
      case 'invoked':
      case 'launched':
      case 'running':
      case 'running_ended':
      case 'returned':
        return orNull(this[column][row] as number);
      default:
        return this.rare.get(row)?.[column] ?? null;
    }
  }

  /** The task is not in the database yet. */
  isNew(row: number): boolean {
    return ((this.#marks[row] as number) & marks.isNew) !== 0;
  }

  markNew(row: number): void {
    this.#marks[row] = (this.#marks[row] as number) | marks.isNew;
  }

  /** The columns of its try begin anew. */
  isReset(row: number): boolean {
    return ((this.#marks[row] as number) & marks.isReset) !== 0;
  }

  markReset(row: number): void {
    this.#marks[row] = (this.#marks[row] as number) | marks.isReset;
  }

  /** It is not written with its batch: a later one has it, or the database. */
  isPassedOver(row: number): boolean {
    return ((this.#marks[row] as number) & (marks.isHeld | marks.isForgotten)) !== 0;
  }

  /** It is written with a later batch. */
  hold(row: number): void {
    this.#marks[row] = (this.#marks[row] as number) | marks.isHeld;
  }

  /** The database has it already. */
  forget(task: number): void {
    const row = this.find(task);
    if (row < 0) return;
    this.#marks[row] = (this.#marks[row] as number) | marks.isForgotten;
    this.#pageOf(task)[task % pageSize] = 0;
  }

  #pageOf(task: number): Int32Array {
    const number = Math.floor(task / pageSize);
    if (number === this.#pageNumber) return this.#page;
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new Int32Array(pageSize);
      this.#pages.set(number, page);
    }
    this.#page = page;
    this.#pageNumber = number;
    return page;
  }

  #grow(): void {
    this.#room *= 2;
    this.task = longer(this.task);
    for (const column of small) this[column] = longer(this[column]);
    for (const column of times) this[column] = longer(this[column]);
    this.#marks = longer(this.#marks);
  }
}

const noPage = new Int32Array(0);

/** What is not told is -1 or NaN. */
export function orNull(value: number): number | null {
  return value >= 0 ? value : null;
}

function longer<Column extends Float64Array | Int32Array | Uint8Array>(column: Column): Column {
  const twice = new (column.constructor as new (length: number) => Column)(2 * column.length);
  twice.set(column);
  return twice;
}
