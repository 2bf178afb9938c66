import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { RecordDisk, RecordFileProblem } from '#src/base/record-file.js';
import type { Clock } from '#src/base/time.js';
import { CheckpointWriter, type CheckpointWriterOptions } from '#src/kernel/memo/checkpoint.js';
import { type Checkpoints, loadCheckpoints } from '#src/kernel/memo/checkpoint-load.js';
import { type CheckpointRecord, checkpointPath, decodeRecord, encodeHead } from '#src/kernel/memo/checkpoint-record.js';
import { memoKey } from '#src/kernel/memo/key.js';
import { KeyTable } from '#src/kernel/memo/key-table.js';
import { createRunDirectory } from '#src/kernel/run-directory.js';
import { CheckpointError } from '#src/task/errors.js';

const seed = Number(process.env['CHERVIL_SEED'] ?? Date.now() % 2 ** 31);
console.log(`CHERVIL_SEED=${seed}`);

const directory = mkdtempSync(join(tmpdir(), 'chervil-checkpoint-'));
after(() => rmSync(directory, { recursive: true }));
let bases = 0;
const freshBase = (): string => join(directory, `runinfo-${bases++}`);

const keyOf = (argument: unknown): string => memoKey({ name: 'app', source: undefined }, [argument]);
const result = (argument: unknown, value: string, outputs: string[] = []): Omit<CheckpointRecord, 'savedAt'> => ({
  key: keyOf(argument),
  app: 'app',
  value: Buffer.from(value),
  outputs,
});
const text = (checkpoints: Checkpoints, argument: unknown): string | undefined => {
  const value = checkpoints.get(keyOf(argument));
  return value && Buffer.from(value).toString();
};

/** Writes the checkpoint of one run; answers its directory. */
function run(base: string, results: Record<string, string>): string {
  const { path } = createRunDirectory(base);
  const writer = new CheckpointWriter({ runDirectory: path, when: 'exit' });
  for (const [argument, value] of Object.entries(results)) writer.add(result(argument, value));
  assert.deepEqual(writer.close(), { ok: true, value: Object.keys(results).length });
  return path;
}

async function withCheckpoints(
  from: 'all' | 'last' | string[],
  base: string,
  use: (found: Checkpoints) => void,
): Promise<void> {
  const checkpoints = await loadCheckpoints(from, base);
  try {
    use(checkpoints);
  } finally {
    checkpoints.close();
  }
}

/** A clock and a loop that go on only when told. */
class Stage implements Clock {
  time = 1_000;
  timers: { at: number; action: () => void }[] = [];
  turn: (() => void)[] = [];
  now = (): number => this.time;
  after = (ms: number, action: () => void): (() => void) => {
    const timer = { at: this.time + ms, action };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((one) => one !== timer);
    };
  };
  atTurnEnd = (action: () => void): void => {
    this.turn.push(action);
  };
  endTurn(): void {
    for (const action of this.turn.splice(0)) action();
  }
  pass(ms: number): void {
    this.time += ms;
    const due = this.timers.filter(({ at }) => at <= this.time);
    this.timers = this.timers.filter(({ at }) => at > this.time);
    for (const { action } of due) action();
  }
}

function staged(options: Partial<CheckpointWriterOptions> & Pick<CheckpointWriterOptions, 'when'>) {
  const stage = new Stage();
  const writes: number[] = [];
  let isFull = false;
  const disk: RecordDisk = {
    write(...args) {
      if (isFull) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
      writes.push(args[3]);
      return writeSync(...args);
    },
    truncate: () => {},
  };
  const problems: RecordFileProblem[] = [];
  const { path } = createRunDirectory(freshBase());
  const writer = new CheckpointWriter({
    runDirectory: path,
    clock: stage,
    atTurnEnd: stage.atTurnEnd,
    disk,
    onProblem: (problem) => problems.push(problem),
    ...options,
  });
  const fill = (value: boolean): void => {
    isFull = value;
  };
  return { stage, writes, writer, path, problems, fill };
}

test('a result of an earlier run is found by its key', async () => {
  const base = freshBase();
  run(base, { a: 'one', b: 'two', c: '' });
  await withCheckpoints('all', base, (checkpoints) => {
    assert.equal(text(checkpoints, 'a'), 'one');
    assert.equal(text(checkpoints, 'b'), 'two');
    assert.equal(text(checkpoints, 'c'), '');
    assert.equal(text(checkpoints, 'd'), undefined);
    assert.equal(checkpoints.size, 3);
    assert.deepEqual(checkpoints.report, {
      files: [checkpointPath(join(base, '000'))],
      records: 3,
      lostBytes: 0,
      torn: 0,
      damaged: 0,
      gaps: [],
      problems: [],
    });
  });
});

test('later runs override earlier ones, in numeric order: 1000 is later than 999', async () => {
  const base = freshBase();
  for (const [name, value] of [
    ['1000', 'newest'],
    ['999', 'older'],
    ['002', 'oldest'],
  ] as const)
    renameSync(run(base, { a: value, [name]: name }), join(base, name));
  await withCheckpoints('all', base, (checkpoints) => {
    assert.equal(text(checkpoints, 'a'), 'newest');
    assert.equal(text(checkpoints, '002'), '002');
  });
  await withCheckpoints('last', base, (checkpoints) => {
    assert.equal(text(checkpoints, 'a'), 'newest');
    assert.equal(text(checkpoints, '999'), undefined);
  });
  await withCheckpoints([join(base, '1000'), join(base, '999')], base, (checkpoints) =>
    assert.equal(text(checkpoints, 'a'), 'older'),
  );
});

test('the last of several records with one key counts', async () => {
  const base = freshBase();
  const writer = new CheckpointWriter({ runDirectory: createRunDirectory(base).path, when: 'exit' });
  writer.add(result('a', 'first'));
  writer.add(result('a', 'second'));
  writer.close();
  await withCheckpoints('last', base, (checkpoints) => assert.equal(text(checkpoints, 'a'), 'second'));
});

test('the last checkpoint is that of the newest run that has one, and a run without results leaves none', async () => {
  const base = freshBase();
  run(base, { a: 'one' });
  assert.equal(existsSync(join(run(base, {}), 'checkpoint')), false);
  mkdirSync(join(base, '007', 'checkpoint'), { recursive: true });
  writeFileSync(checkpointPath(join(base, '007')), '');
  writeFileSync(join(base, 'monitoring.db'), '');
  await withCheckpoints('last', base, (checkpoints) => assert.equal(text(checkpoints, 'a'), 'one'));
});

test('no earlier runs are no error', async () => {
  await withCheckpoints('all', freshBase(), ({ size }) => assert.equal(size, 0));
  await withCheckpoints('last', freshBase(), ({ size }) => assert.equal(size, 0));
  await withCheckpoints([], freshBase(), ({ size }) => assert.equal(size, 0));
});

test('a listed checkpoint is a run directory, its checkpoint directory or the file', async () => {
  const base = freshBase();
  const path = run(base, { a: 'one' });
  for (const place of [path, join(path, 'checkpoint'), checkpointPath(path)])
    await withCheckpoints([place], base, (checkpoints) => assert.equal(text(checkpoints, 'a'), 'one'));
});

test('a listed checkpoint that is missing, or no checkpoint, is a CheckpointError that names it', async () => {
  const base = freshBase();
  const path = run(base, { a: 'one' });
  const foreign = join(directory, 'foreign');
  writeFileSync(foreign, 'something else, of some length that is more than a header');
  for (const [place, message] of [
    [join(base, '123'), /123 does not exist/],
    [base, /There is no checkpoint in .*runinfo/],
    [foreign, /foreign is not a record file/],
  ] as const)
    await assert.rejects(loadCheckpoints([path, place], base), (error) => {
      assert.ok(error instanceof CheckpointError);
      assert.match(error.message, message);
      return true;
    });
});

test('a foreign file among all checkpoints is reported, and the others are used', async () => {
  const base = freshBase();
  run(base, { a: 'one' });
  writeFileSync(checkpointPath(run(base, { b: 'two' })), 'something else, of some length that is more than a header');
  await withCheckpoints('all', base, (checkpoints) => {
    assert.equal(text(checkpoints, 'a'), 'one');
    assert.equal(text(checkpoints, 'b'), undefined);
    assert.deepEqual(
      checkpoints.report.problems.map(({ code }) => code),
      ['FOREIGN'],
    );
  });
});

test('torn and damaged records are left out and reported', async () => {
  const base = freshBase();
  const path = checkpointPath(run(base, { a: 'one', b: 'two', c: 'three', d: 'four' }));
  const whole = readFileSync(path);
  whole[whole.indexOf('two')]! ^= 1;
  writeFileSync(path, whole);
  truncateSync(path, whole.length - 1);
  await withCheckpoints('all', base, (checkpoints) => {
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((argument) => text(checkpoints, argument)),
      ['one', undefined, 'three', undefined],
    );
    const { records, torn, damaged, lostBytes, gaps } = checkpoints.report;
    assert.deepEqual({ records, torn, damaged, gaps: gaps.length }, { records: 2, torn: 1, damaged: 1, gaps: 2 });
    assert.ok(lostBytes > 0);
  });
});

test('a result whose file is changed or removed after loading is not found', async () => {
  const base = freshBase();
  const path = checkpointPath(run(base, { a: 'one', b: 'two' }));
  await withCheckpoints('all', base, (checkpoints) => {
    const whole = readFileSync(path);
    whole[whole.indexOf('one')]! ^= 1;
    writeFileSync(path, whole);
    assert.equal(text(checkpoints, 'a'), undefined);
    assert.equal(text(checkpoints, 'b'), 'two');
    truncateSync(path, 50);
    assert.equal(text(checkpoints, 'b'), undefined);
  });
});

test('a result counts only while its output files exist', async () => {
  const base = freshBase();
  const made = [join(directory, 'out 1'), join(directory, 'ü 2')];
  const writer = new CheckpointWriter({ runDirectory: createRunDirectory(base).path, when: 'exit' });
  writer.add(result('a', 'one', made));
  writer.close();
  for (const path of made) writeFileSync(path, '');
  await withCheckpoints('all', base, (checkpoints) => {
    assert.equal(text(checkpoints, 'a'), 'one');
    rmSync(made[1]!);
    assert.equal(text(checkpoints, 'a'), undefined);
    assert.deepEqual(checkpoints.record(keyOf('a'))?.outputs, made);
  });
});

test('more checkpoints than files may be open are read', async () => {
  const base = freshBase();
  for (let number = 0; number < 40; number++) run(base, { [number]: `value ${number}` });
  await withCheckpoints('all', base, (checkpoints) => {
    for (let round = 0; round < 2; round++)
      for (let number = 0; number < 40; number++) assert.equal(text(checkpoints, String(number)), `value ${number}`);
  });
});

test("mode 'task_exit' writes all results of a loop turn at once, and then tells", () => {
  const { stage, writes, writer } = staged({ when: 'task_exit' });
  const saved: string[] = [];
  for (const argument of ['a', 'b', 'c'])
    writer.add(result(argument, 'x'), ({ ok }) => saved.push(`${argument} ${ok}`));
  assert.deepEqual([writes.length, saved], [0, []]);
  stage.endTurn();
  assert.deepEqual([writes.length, saved], [1, ['a true', 'b true', 'c true']]);
  stage.endTurn();
  assert.equal(writes.length, 1);
  writer.add(result('d', 'x'));
  stage.endTurn();
  assert.deepEqual([writes.length, writer.written], [2, 4]);
  writer.close();
});

test("mode 'periodic' writes one period after a result came, and at close", () => {
  const { stage, writes, writer } = staged({ when: 'periodic', periodMs: 500 });
  stage.pass(5_000);
  assert.equal(stage.timers.length, 0);
  writer.add(result('a', 'x'));
  stage.pass(499);
  writer.add(result('b', 'x'));
  assert.equal(writes.length, 0);
  stage.pass(1);
  assert.deepEqual([writes.length, writer.written], [1, 2]);
  writer.add(result('c', 'x'));
  assert.equal(stage.timers.length, 1);
  writer.close();
  assert.deepEqual([writer.written, stage.timers.length], [3, 0]);
});

test("mode 'exit' writes at close", () => {
  const { stage, writes, writer } = staged({ when: 'exit' });
  writer.add(result('a', 'x'));
  stage.endTurn();
  stage.pass(1e9);
  assert.equal(writes.length, 0);
  writer.close();
  assert.deepEqual([writes.length, writer.written], [1, 1]);
});

test("mode 'manual' writes when asked and only then, not at close", async () => {
  const { stage, writes, writer, path } = staged({ when: 'manual' });
  let told: unknown;
  writer.add(result('a', 'x'));
  stage.endTurn();
  stage.pass(1e9);
  assert.equal(writes.length, 0);
  assert.deepEqual(writer.checkpoint(), { ok: true, value: 1 });
  writer.add(result('b', 'x'), (saved) => {
    told = !saved.ok && saved.error.code;
  });
  writer.close();
  assert.deepEqual([writes.length, told], [1, 'CLOSED']);
  await withCheckpoints([path], '', (checkpoints) =>
    assert.deepEqual([checkpoints.has(keyOf('a')), checkpoints.size], [true, 1]),
  );
});

test("mode 'manual' leaves no file when nobody asked", () => {
  const { writer } = staged({ when: 'manual' });
  writer.add(result('a', 'x'));
  writer.close();
  assert.equal(existsSync(writer.path), false);
});

test('a checkpoint can be asked for in every mode', () => {
  for (const when of ['task_exit', 'exit', 'manual'] as const) {
    const { writer } = staged({ when });
    assert.deepEqual(writer.checkpoint(), { ok: true, value: 0 });
    writer.add(result('a', 'x'));
    assert.deepEqual(writer.checkpoint(), { ok: true, value: 1 });
    writer.close();
  }
});

test('results that would fill the memory are written before their time', () => {
  const { writes, writer } = staged({ when: 'exit' });
  for (let count = 0; count < 5; count++) writer.add({ ...result(count, ''), value: Buffer.alloc(20_000_000) });
  assert.equal(writes.length, 1);
  writer.close();
  assert.equal(writer.written, 5);
});

test('a full disk is reported and told, costs nothing when there is room again, and never throws', () => {
  const { stage, writer, problems, fill } = staged({ when: 'task_exit' });
  const told: unknown[] = [];
  const saved = (one: { ok: boolean }): unknown => told.push(one.ok);
  fill(true);
  writer.add(result('a', 'x'), saved);
  stage.endTurn();
  assert.deepEqual([told, problems.map(({ code }) => code), writer.written], [[false], ['NO_SPACE'], 0]);
  fill(false);
  writer.add(result('b', 'x'), saved);
  stage.endTurn();
  assert.deepEqual([told, writer.written], [[false, true], 2]);
  writer.close();
});

test('a run directory that cannot be written is reported with each result, and never throws', () => {
  const { writer, problems, path } = staged({ when: 'task_exit' });
  writeFileSync(join(path, 'checkpoint'), 'a file in the way');
  let told: unknown;
  writer.add(result('a', 'x'), ({ ok }) => {
    told = ok;
  });
  assert.deepEqual([told, problems.length], [false, 1]);
  assert.deepEqual(writer.close(), { ok: true, value: 0 });
});

test('a result used again is recorded once, so that the last checkpoint alone will do', async () => {
  const base = freshBase();
  run(base, { a: 'one' });
  for (let number = 1; number < 4; number++) {
    const checkpoints = await loadCheckpoints('last', base);
    const { path } = createRunDirectory(base);
    const writer = new CheckpointWriter({ runDirectory: path, when: 'task_exit' });
    let told = 0;
    for (let count = 0; count < 3; count++)
      writer.reuse(
        keyOf('a'),
        () => checkpoints.record(keyOf('a')),
        ({ ok }) => {
          told += Number(ok);
        },
      );
    writer.reuse(
      keyOf('unknown'),
      () => undefined,
      () => {},
    );
    assert.deepEqual([writer.pending, told], [1, 0]);
    writer.close();
    assert.deepEqual([writer.written, told], [1, 3]);
    checkpoints.close();
    await withCheckpoints([path], base, (found) => assert.equal(text(found, 'a'), 'one'));
  }
});

test('a closed writer refuses results', () => {
  const { writer } = staged({ when: 'exit' });
  writer.close();
  let told: unknown;
  writer.add(result('a', 'x'), (saved) => {
    told = !saved.ok && saved.error.code;
  });
  assert.equal(told, 'CLOSED');
  assert.deepEqual(writer.close(), { ok: true, value: 0 });
});

test('property: records are decoded as they were encoded, and cut ones are refused or lose only of their value', () => {
  const records = fc.record({
    key: fc.oneof(
      fc.string(),
      fc.uint8Array({ minLength: 32, maxLength: 32 }).map((key) => Buffer.from(key).toString('hex')),
    ),
    app: fc.string({ unit: 'grapheme' }),
    savedAt: fc.nat(),
    outputs: fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 4 }),
    value: fc.uint8Array({ maxLength: 50 }),
  });
  fc.assert(
    fc.property(records, (record) => {
      const head = encodeHead(record);
      const whole = Buffer.concat([head, record.value]);
      assert.deepEqual({ ...decodeRecord(whole), value: undefined }, { ...record, value: undefined });
      assert.deepEqual(Buffer.from(decodeRecord(whole)!.value), Buffer.from(record.value));
      for (let size = 0; size < head.length; size++) assert.equal(decodeRecord(whole.subarray(0, size)), undefined);
    }),
    { seed, numRuns: 200 },
  );
});

test('property: a key table finds exactly the keys that were added, by the number that they got', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 3 }), { maxLength: 2_000 }), (keys) => {
      const table = new KeyTable();
      const numbers = new Map<string, number>();
      for (const key of keys) {
        const number = table.add(key);
        assert.equal(number, numbers.get(key) ?? numbers.size);
        numbers.set(key, number);
      }
      assert.equal(table.size, numbers.size);
      for (const [key, number] of numbers) {
        assert.equal(table.find(key), number);
        assert.equal(table.find(`${key} not`), -1);
      }
    }),
    { seed, numRuns: 50 },
  );
});

test('200,000 records are indexed and each is found', async () => {
  const base = freshBase();
  const writer = new CheckpointWriter({ runDirectory: createRunDirectory(base).path, when: 'exit' });
  for (let number = 0; number < 200_000; number++) writer.add(result(number, `value ${number}`));
  writer.close();
  await withCheckpoints('last', base, (checkpoints) => {
    assert.equal(checkpoints.size, 200_000);
    for (let number = 0; number < 200_000; number += 37) assert.equal(text(checkpoints, number), `value ${number}`);
  });
});

test("a run killed in mode 'task_exit' keeps every result that it was told is saved", async () => {
  const base = freshBase();
  const { path } = createRunDirectory(base);
  const module = new URL('../../dist/kernel/memo/checkpoint.js', import.meta.url).href;
  const program = `
    import { CheckpointWriter } from ${JSON.stringify(module)};
    const writer = new CheckpointWriter({ runDirectory: ${JSON.stringify(path)}, when: 'task_exit' });
    let number = 0;
    const turn = () => {
      for (let count = 0; count < 20; count++) {
        const mine = number++;
        writer.add({ key: 'key ' + mine, app: 'app', value: Buffer.alloc(5_000, String(mine % 10)), outputs: [] },
          ({ ok }) => ok && mine % 100 === 99 && process.stdout.write(mine + '\\n'));
      }
      if (number < 50_000) setImmediate(turn);
    };
    turn();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  let saved = -1;
  for await (const line of createInterface({ input: child.stdout })) {
    saved = Number(line);
    if (saved >= 1_000) child.kill('SIGKILL');
  }
  assert.deepEqual(await ended, [null, 'SIGKILL']);
  assert.ok(statSync(checkpointPath(path)).size > 5_000_000);
  await withCheckpoints('last', base, (checkpoints) => {
    for (let number = 0; number <= saved; number++)
      assert.deepEqual(checkpoints.get(`key ${number}`), Buffer.alloc(5_000, String(number % 10)));
    assert.ok(checkpoints.report.torn <= 1);
    assert.equal(checkpoints.report.damaged, 0);
  });
});
