// Damaged messages through real sockets into an interchange process: task, command and pool socket, and strangers that
// speak no ZMTP. Good tasks among them must all be answered; only what a mad pool took may fail, and with its pool.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { askStatus } from '#src/interchange/show-status.js';
import { readAnswer, writeTask } from '#src/wire/messages.js';
import { FakePool, InterchangeRun } from '../support/interchange-run.ts';
import { randomIntegers } from '../support/random.ts';
import { corpus } from './corpus.ts';
import { type Chance, mutate } from './mutate.ts';

export interface SocketReport {
  readonly frames: { tasks: number; commands: number; pools: number; connections: number };
  readonly goodTasks: number;
  /** Good tasks that were given to a mad pool and failed with it. */
  readonly lost: number;
  /** Of the interchange, after the first tenth and at the end. */
  readonly rssMiB: readonly [number, number];
}

/** Good tasks have ids from here on; damaged ones are made from small ids. */
const firstGood = 2 ** 40;
const inTurn = 200;

/**
 * Sends damaged messages until the number or the time is over; then every good task must be answered.
 *
 * @throws AssertionError when the interchange ends, a good task is lost, or the books are wrong
 */
export async function fuzzSockets(options: { seed: number; frames?: number; ms?: number }): Promise<SocketReport> {
  const chance = randomIntegers(options.seed);
  const samples = corpus();
  const others = [...samples.tasks, ...samples.commands, ...samples.pools].flat();
  const answered = new Set<number>();
  let goodTasks = 0;
  let lost = 0;
  let onAnswer = (): void => {};
  await using run = await InterchangeRun.start({
    heartbeatThreshold: 5,
    onResults: (frames) => {
      for (const frame of frames) {
        const answer = readAnswer(frame);
        assert.ok(answer.ok, 'an answer that no submitter can read');
        // Some task of the corpus names a runtime, which makes this a Chervil submitter.
        if (answer.value.type === 'note') continue;
        const { taskId, isException } = answer.value;
        // Damage makes large ids, too.
        if (taskId < firstGood || taskId >= firstGood + goodTasks) continue;
        assert.ok(!answered.has(taskId), `good task ${taskId} is answered twice`);
        answered.add(taskId);
        if (isException) lost++;
      }
      onAnswer();
    },
  });
  let hasEnded = false;
  void run.exited.then(() => {
    hasEnded = true;
  });
  const good = new FakePool(run.port, 'good', finishAll).register(1_000);
  good.beat(1_000);
  const pools = Array.from({ length: 4 }, (_, at) => new FakePool(run.port, `mad-${at}`, () => {}));
  const damage = (message: readonly Uint8Array[]): Buffer[] => {
    const victim = chance(message.length);
    return message.map((frame, at) => (at === victim ? mutate(frame, others, chance) : Buffer.from(frame)));
  };
  const pick = (messages: readonly (readonly Uint8Array[])[]): Buffer[] =>
    damage(messages[chance(messages.length)] ?? []);
  const counts = { tasks: 0, commands: 0, pools: 0, connections: 0 };
  const total = (): number => counts.tasks + counts.commands + counts.pools + counts.connections;
  const { frames = Number.POSITIVE_INFINITY, ms = Number.POSITIVE_INFINITY } = options;
  const start = performance.now();
  let early = 0;
  while (total() < frames && performance.now() - start < ms) {
    assert.ok(!hasEnded, `the interchange ended (CHERVIL_SEED=${options.seed})`);
    for (let at = 0; at < inTurn; at++) {
      // What is sent to a submitter's REQ or DEALER socket is framed by it; more frames than one are part of the damage.
      const task = pick(samples.tasks);
      for (const frame of task) run.tasks.send([frame]);
      counts.tasks += task.length;
      const message = pick(samples.pools);
      (pools[chance(pools.length)] as FakePool).send(message);
      counts.pools += message.length;
      if (at % 20 === 0) {
        const taskId = firstGood + goodTasks++;
        run.tasks.send([writeTask({ taskId, buffer: Buffer.alloc(20), context: new Map() }, 'context')]);
      }
    }
    counts.connections += await stranger(
      run.port,
      damage([samples.connection[chance(samples.connection.length)]?.[0] as Buffer]),
      chance,
    );
    // A command is answered after all that was sent before on other sockets has had its chance, so nothing piles up here.
    const [command] = pick(samples.commands);
    counts.commands++;
    await run.command.request([command as Buffer], { timeoutMs: 60_000 });
    if (early === 0 && (total() > frames / 10 || performance.now() - start > ms / 10)) early = run.residentBytes();
  }
  for (const pool of pools) await pool.close();
  const all = new Promise<void>((resolve) => {
    onAnswer = () => {
      if (answered.size === goodTasks) resolve();
    };
    onAnswer();
  });
  const late = new Promise<never>((_, reject) =>
    setTimeout(
      () => reject(new Error(`${goodTasks - answered.size} good tasks hang (CHERVIL_SEED=${options.seed})`)),
      60_000,
    ).unref(),
  );
  await Promise.race([all, late]);
  const { received, queued, leased, answered: settled } = (await askStatus(`tcp://127.0.0.1:${run.port}`)).counters;
  assert.equal(received, queued + leased + settled);
  const rssMiB = [early, run.residentBytes()].map((bytes) => Math.round(bytes / 2 ** 20)) as [number, number];
  assert.equal(good.unread, 0);
  await good.close();
  assert.ok(!hasEnded);
  return { frames: counts, goodTasks, lost, rssMiB };
}

const finishAll = (ids: number[], pool: FakePool): void => {
  for (const id of ids) pool.finish(id);
};

/** Somebody who connects, says something damaged, and goes. */
function stranger(port: number, pieces: readonly Buffer[], chance: Chance): Promise<number> {
  return new Promise((resolve) => {
    const stream = connect(port, '127.0.0.1');
    const over = (): void => {
      stream.destroy();
      resolve(pieces.length);
    };
    stream.on('error', over).on('close', over);
    stream.on('connect', () => {
      for (const piece of pieces) stream.write(piece);
      if (chance(2) === 0) stream.end();
      else stream.once('data', over);
      stream.resume();
    });
  });
}
