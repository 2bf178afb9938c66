// The decisions of a pool's manager, event by event.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capacityFor } from '#src/pool/prefetch.js';
import { writeNote } from '#src/wire/notes.js';
import { PoolBench } from './builders.ts';

const place = { host: 'here', worker: 'pool/0' };

test('a pool registers once it is connected, and gives tasks to workers once they are ready', () => {
  const pool = new PoolBench().on({ type: 'connected' }).wants('register');
  pool.tasks([1, 2, 3]).wants();
  pool.on({ type: 'worker ready', rank: 0 }).wants('job 0.1');
  pool.on({ type: 'worker ready', rank: 1 }).wants('job 1.1');
  pool.ended(1, 1).wants('result 2 done', 'job 1.2');
});

test('a function that was quick so far is given ahead, one that is unknown or slow is not', () => {
  const pool = new PoolBench({ workerCount: 1 }).up();
  pool.tasks([1, 2, 3]).wants('job 0.1');
  pool.ended(0, 1, 0.01).wants('result 1 done', 'job 0.2', 'job 0.3');
  pool.ended(0, 2, 50).ended(0, 3, 50).take();
  pool.tasks([4, 5, 6]).wants('job 0.4');
});

test('a worker that is gone loses what it had begun; what it had not begun goes to others', () => {
  const pool = new PoolBench().up();
  pool.tasks([1]).ended(0, 1).take();
  pool
    .on({
      type: 'worker gone',
      rank: 1,
      death: { exitCode: 0, signal: null, reason: 'exit', stderrTail: '', begun: 0 },
    })
    .wants('start worker 1');
  pool.tasks([2, 3, 4]).take();
  pool.begun[0] = 2;
  pool.gone(0).wants('fail 2 WORKER_LOST', 'start worker 0');
  pool.on({ type: 'worker ready', rank: 0 }).take();
  assert.equal(pool.state.tasks.size, 2);
  pool.ended(0, 1).ended(0, 2);
  assert.deepEqual(pool.take(), ['result 3 done', 'result 4 done']);
});

test('an idle worker is given what a busy one has not begun', () => {
  const pool = new PoolBench().up();
  pool.tasks([1, 2]).ended(0, 1).ended(1, 1).take();
  pool.tasks([3, 4, 5, 6]).wants('job 0.2', 'job 0.3', 'job 1.2', 'job 1.3');
  pool.begun[0] = 2;
  pool.ended(1, 2).ended(1, 3).take();
  pool.after(25).wants('job 1.4');
  // It passes over what was taken back, and gets nothing before.
  pool.tasks([7, 8]).wants('job 1.5', 'job 1.6');
  pool
    .on({ type: 'job ended', rank: 0, ticket: 3, how: 'passed over', tookMs: 0, beganAt: 0, bytes: new Uint8Array() })
    .wants();
  pool.ended(0, 2).wants('result 3 done');
  pool.tasks([9]).wants('job 0.4');
});

test('a body that runs over its timeout fails with TIMEOUT, and is killed with its worker', () => {
  const pool = new PoolBench({ workerCount: 1 }).up();
  pool.tasks([1], { timeoutMs: 100 }).take();
  pool.begun[0] = 1;
  pool.on({ type: 'job began', rank: 0, ticket: 1 });
  pool.after(100).wants();
  pool.after(25).wants('fail 1 TIMEOUT', 'kill worker 0');
  pool.gone(0).wants('start worker 0');
});

test('what never finishes loading is ended a minute after its turn came, or after its timeout if that is longer', () => {
  const pool = new PoolBench({ workerCount: 1, heartbeatPeriodMs: 1e9, heartbeatThresholdMs: 1e9 }).up();
  pool.tasks([1], { timeoutMs: 100 }).take();
  pool.begun[0] = 1;
  pool.on({ type: 'loading', rank: 0, ticket: 1, modules: ['file:///tasks.js'] });
  pool.after(59_000).wants();
  pool.after(1_025).wants('fail 1 TIMEOUT', 'kill worker 0');
  // While it is being killed nothing is due.
  assert.ok(pool.state.timerAt > pool.now);
  pool.gone(0).on({ type: 'worker ready', rank: 0 }).take();
  pool.tasks([2], { timeoutMs: 100_000 }).take();
  pool.begun[0] = 1;
  pool.after(99_000).wants();
  pool.after(1_025).wants('fail 2 TIMEOUT', 'kill worker 0');
});

test('the time that other tasks take before it is no time of loading, nor is that in which a worker does not come to it', () => {
  const pool = new PoolBench({ workerCount: 1, heartbeatPeriodMs: 1e9, heartbeatThresholdMs: 1e9 }).up();
  pool.tasks([1]).ended(0, 1).take();
  pool.tasks([2, 3], { timeoutMs: 100 }).wants('job 0.2', 'job 0.3');
  pool.begun[0] = 2;
  pool.on({ type: 'job began', rank: 0, ticket: 2 });
  pool.after(90).ended(0, 2).take();
  pool.after(60_050).wants();
  pool.begun[0] = 3;
  pool.after(59_000).wants();
  pool.after(1_050).wants('fail 3 TIMEOUT', 'kill worker 0');
});

test('the function of a bash app has no more time than any other; its command has a while to end', () => {
  const pool = new PoolBench({ workerCount: 1 }).up();
  const began = { type: 'job began', rank: 0 } as const;
  pool.tasks([1], { timeoutMs: 100, kind: 'bash' }).take();
  pool.begun[0] = 1;
  pool.on({ ...began, ticket: 1 });
  pool.after(125).wants('fail 1 TIMEOUT', 'kill worker 0');
  pool.gone(0).on({ type: 'worker ready', rank: 0 }).take();
  pool.tasks([2], { timeoutMs: 100, kind: 'bash' }).take();
  pool.begun[0] = 1;
  pool.on({ ...began, ticket: 1 }).on({ type: 'command began', rank: 0, ticket: 1 });
  pool.after(1_000).wants();
  pool.after(7_000).wants('fail 2 TIMEOUT', 'kill worker 0');
});

test('where and when a quick body ran is told with its result, and of a slow one it is told when its worker says so', () => {
  const pool = new PoolBench({ workerCount: 1, prefetch: 0 }).up().on({ type: 'welcome' });
  pool.tasks([1], { isTold: true }).ended(0, 1, 5, 1_000);
  pool.wants('job 0.1', 'result 1 done ran on 0 at 1000 for 5');
  pool.tasks([2], { isTold: true }).wants('job 0.2');
  pool.on({ type: 'note', rank: 0, ticket: 2, bytes: writeNote({ what: 'running', place }) }).wants('note 2');
  pool.ended(0, 2, 5, 1_000).wants('result 2 done');
  pool.tasks([3]).ended(0, 3, 5, 0).wants('job 0.3', 'result 3 done');
  assert.equal(pool.state.unnoted, 0);
});

test('a body of which quickness was expected, and which goes on, is told of after a while', () => {
  const pool = new PoolBench({ workerCount: 1 }).up().on({ type: 'welcome' });
  pool.tasks([1], { isTold: true }).take();
  pool.after(300).wants();
  pool.begun[0] = 1;
  pool.after(300).wants('note running 1');
  pool.after(300).wants();
  pool.ended(0, 1, 900, 1_000).wants('result 1 done');
});

test('what a worker ran when it died is told to run before it is told lost', () => {
  const pool = new PoolBench({ workerCount: 1 }).up().on({ type: 'welcome' });
  pool.tasks([1], { isTold: true }).take();
  pool.begun[0] = 1;
  pool.gone(0).wants('note running 1', 'fail 1 WORKER_LOST', 'start worker 0');
});

test('a cancelled task that waits is answered at once; one that runs is asked to stop, and killed when it does not', () => {
  const pool = new PoolBench({ workerCount: 1 }).up();
  pool.tasks([1, 2]).take();
  pool.begun[0] = 1;
  pool.on({ type: 'cancel', taskIds: [2, 1, 77], reason: 'enough' }).wants('fail 2 CANCELLED', 'stop 0.1');
  pool.after(310).wants('fail 1 CANCELLED', 'kill worker 0');
});

test('a cancelled body that says that it can stop is given time', () => {
  const pool = new PoolBench({ workerCount: 1 }).up();
  pool.tasks([1]).take();
  pool.begun[0] = 1;
  pool.on({ type: 'cancel', taskIds: [1], reason: '' }, { type: 'job stopping', rank: 0, ticket: 1 }).wants('stop 0.1');
  pool.after(310).wants();
  pool.ended(0, 1).wants('result 1 done');
});

test('a worker that cannot be started is tried again later and later, and then the pool gives up with its words', () => {
  const pool = new PoolBench({ workerCount: 1 }).on({ type: 'connected' });
  pool.take();
  for (let times = 0; times < 4; times++) {
    pool.gone(0, { exitCode: 1, signal: null, stderrTail: 'no module' }).wants();
    pool.after(2_000).wants('start worker 0');
  }
  pool
    .gone(0, { exitCode: 1, signal: null, stderrTail: 'no module' })
    .wants('end 1: worker 0 cannot be started: exit code 1. no module');
});

test('heartbeats go out in their period, and a silent interchange ends the pool', () => {
  const pool = new PoolBench({ heartbeatPeriodMs: 1_000, heartbeatThresholdMs: 3_500 }).up();
  pool.after(1_000).wants('heartbeat');
  pool.on({ type: 'heartbeat' }).after(1_000).wants('heartbeat');
  pool.after(1_000).after(1_000).take();
  pool.after(1_000).wants('heartbeat', 'end 0: the interchange was not heard for 4 s');
});

test('when nobody listens any more where the interchange was, the pool waits a moment and ends', () => {
  const pool = new PoolBench().up();
  pool.on({ type: 'disconnected', isRefused: false }).after(5_000).wants();
  pool.on({ type: 'disconnected', isRefused: true }).after(500).wants();
  pool.after(600).wants('end 0: the interchange is gone');
});

test('a connection that comes back in time is no reason to end', () => {
  const pool = new PoolBench().up();
  pool.on({ type: 'disconnected', isRefused: true }).on({ type: 'connected' }).after(2_000).wants();
});

test('the pool asks to leave when its drain period is over, and leaves when it is told', () => {
  const pool = new PoolBench({ drainAfterMs: 10_000 }).up();
  pool.after(10_000).wants('drain');
  pool.on({ type: 'drained' }).wants('end 0: the interchange has nothing left for this pool');
});

test('capacity grows when bodies are short, but only after a welcome: Python interchanges do not know of it', () => {
  const python = new PoolBench({ workerCount: 1 }).up();
  python.tasks([1]).take();
  python.ended(0, 1, 0.01).wants('result 1 done');
  const chervil = new PoolBench({ workerCount: 1 }).up().on({ type: 'welcome' });
  chervil.tasks([1]).take();
  chervil.ended(0, 1, 0.01).wants('result 1 done', `capacity ${capacityFor(1, 0.01)}`);
  chervil.tasks([2]).take();
  for (let ticket = 2; ticket < 6; ticket++) chervil.ended(0, ticket, 1_000).tasks([ticket + 1]);
  assert.ok(chervil.take().includes('capacity 1'));
});

test('a task whose code is not here waits for it, and others do not; each file is asked for once', () => {
  const pool = new PoolBench().up();
  pool.tasks([1, 2], { code: ['f', 'm.mjs'] }).wants('ask for f', 'ask for m.mjs');
  pool.tasks([3]).wants('job 0.1');
  pool.on({ type: 'code', name: 'f', problem: undefined }).wants();
  pool.on({ type: 'code', name: 'm.mjs', problem: undefined }).wants('job 1.1');
  pool.ended(0, 1).wants('result 3 done', 'job 0.2');
  pool.ended(1, 1).ended(0, 2).take();
  pool.tasks([4], { code: ['f', 'm.mjs'] }).wants('job 0.3');
});

test('code that nobody has fails the tasks that need it, and is asked for again by the next', () => {
  const pool = new PoolBench().up();
  pool
    .tasks([1], { code: ['f'] })
    .tasks([2], { code: ['g'] })
    .take();
  pool.on({ type: 'code', name: 'f', problem: 'gone' }).wants('fail 1 FUNCTION_NOT_FOUND');
  pool.tasks([3], { code: ['f'] }).wants('ask for f');
  pool.on({ type: 'cancel', taskIds: [2], reason: '' }).wants('fail 2 CANCELLED');
  pool.on({ type: 'code', name: 'g', problem: undefined }).wants();
});

test('what was asked for is asked for again on a new connection: the question, or its answer, may be lost', () => {
  const pool = new PoolBench().up();
  pool.tasks([1], { code: ['f'] }).wants('ask for f');
  pool.on({ type: 'disconnected', isRefused: false }, { type: 'connected' }).wants('ask for f');
});

test('a task of another runtime is answered, and never lost', () => {
  const pool = new PoolBench().up();
  pool
    .on({ type: 'tasks', tasks: [{ taskId: 5, buffer: Buffer.from('33\nC2\n'), context: new Map() }] })
    .wants('fail 5 DESERIALIZATION');
});

test('whatever happens in whatever order, every task is answered once', () => {
  const seed = Number(process.env['CHERVIL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`CHERVIL_SEED=${seed}`);
  let random = seed;
  const below = (limit: number): number => {
    random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((random / 2 ** 31) * limit);
  };
  const pool = new PoolBench({ workerCount: 3 }).up().on({ type: 'welcome' });
  const answers = new Map<number, number>();
  const note = (): void => {
    for (const text of pool.take()) {
      const id = /^(?:result|fail) (\d+)/.exec(text)?.[1];
      if (id !== undefined) answers.set(Number(id), (answers.get(Number(id)) ?? 0) + 1);
    }
  };
  const act = (canLose: boolean): void => {
    const worker = pool.state.workers[below(3)]!;
    const { rank } = worker;
    const [ticket] = worker.held.keys();
    if (worker.state === 'starting') pool.on({ type: 'worker ready', rank });
    else if (worker.state === 'dying' || (canLose && below(20) === 0)) {
      if (worker.state !== 'resting') pool.gone(rank);
    } else if (worker.state === 'passing' && ticket === undefined) {
      pool.on({
        type: 'job ended',
        rank,
        ticket: worker.passesUntil,
        how: 'passed over',
        tookMs: 0,
        beganAt: 0,
        bytes: new Uint8Array(),
      });
    } else if (ticket !== undefined) pool.ended(rank, ticket, below(2) === 0 ? 0.01 : below(40));
    pool.after(below(30));
    note();
  };
  const count = 400;
  for (let id = 1; id <= count; id++) {
    pool.tasks([id], { key: `f${below(3)}` });
    if (below(10) === 0) pool.on({ type: 'cancel', taskIds: [1 + below(id)], reason: '' });
    act(true);
  }
  for (let times = 0; pool.state.tasks.size > 0; times++) {
    assert.ok(times < 50_000, `${pool.state.tasks.size} tasks are never answered`);
    act(false);
  }
  assert.equal(answers.size, count);
  assert.ok([...answers.values()].every((times) => times === 1));
});
