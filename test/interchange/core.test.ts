import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import { statusReport } from '#src/interchange/commands.js';
import { step, wantsTurn } from '#src/interchange/core.js';
import type { InterchangeEvent } from '#src/interchange/events.js';
import { formatStatus } from '#src/interchange/show-status.js';
import { Bench, outcome, registration, seeded, sure, tell } from './builders.ts';

describe("pools without Python workers, and tasks of Python's Parsl", () => {
  const patienceMs = 5_000;

  it('are turned away after a few seconds, with the reason in the log', () => {
    const bench = new Bench();
    bench.take(bench.register('js', { runtimes: ['node'], extensions: ['refusal'] }), bench.task(1));
    assert.deepEqual(bench.wait(patienceMs - 1).map(tell), []);
    const effects = bench.wait(2);
    assert.deepEqual(effects.map(tell), ['refuse js']);
    assert.ok(effects[0]?.do === 'explain refusal');
    assert.match(effects[0].reason, /no Python workers, .* submitted by Parsl\. Start the pool with --python=python3$/);
    assert.match(bench.state.refusals.get('js')?.reason ?? '', /no Python workers/);
    bench.counts({ queued: 1, managersRefused: 1 });
    // The next one that can is welcome.
    assert.deepEqual(bench.tell(bench.register('py')), ['py gets 1']);
  });

  it('stay where a pool with Python workers is there, or comes in time, or has been there and is busy', () => {
    const bench = new Bench();
    bench.take(bench.register('js', { runtimes: ['node'] }), bench.task(1));
    bench.wait(patienceMs - 1);
    assert.deepEqual(bench.tell(bench.register('py', { maxCapacity: 1 })), ['py gets 1']);
    bench.take(bench.task(2));
    assert.deepEqual(bench.wait(4 * patienceMs).map(tell), []);
    // The time begins anew when that one is gone.
    bench.take({ type: 'drain', peer: 'py' });
    bench.take(bench.results('py', 1));
    assert.deepEqual(bench.wait(patienceMs - 1).map(tell), []);
    assert.deepEqual(bench.wait(2).map(tell), ['drained to js']);
  });

  it('stay where Python workers of the same node are still to come', () => {
    const bench = new Bench();
    bench.take(bench.register('js', { runtimes: ['node'], extensions: ['refusal', 'sibling'] }), bench.task(1));
    assert.deepEqual(bench.wait(4 * patienceMs).map(tell), []);
    assert.deepEqual(bench.tell(bench.register('py')), ['py gets 1']);
  });

  it('stay while nothing waits, and with a submitter of Chervil, which can use them and says what it misses itself', () => {
    const bench = new Bench();
    bench.take(bench.register('js', { runtimes: ['node'] }));
    assert.deepEqual(bench.wait(4 * patienceMs).map(tell), []);
    bench.take(bench.task(1, { runtime: 'python' }));
    assert.deepEqual(bench.wait(4 * patienceMs).map(tell), []);
  });
});

describe('giving out tasks', () => {
  it('a task goes to a manager as soon as one is there', () => {
    const bench = new Bench();
    assert.deepEqual(bench.tell(bench.task(1)), []);
    assert.deepEqual(bench.tell(bench.register('m')), ['m gets 1']);
    bench.counts({ received: 1, queued: 0, leased: 1, answered: 0 });
  });

  it('at the debug level the log names every queued task in words that programs around Parsl look for', () => {
    const bench = new Bench({ logLevel: 'debug' });
    const effects = [7, 8, 8].flatMap((id) => step(bench.state, bench.task(id), bench.now, []));
    const lines = effects.flatMap((effect) =>
      effect.do === 'log' && effect.level === 'debug' ? [String(effect.text)] : [],
    );
    assert.deepEqual(lines, [
      'Put task 7 onto pending_task_queue, where 1 wait',
      'Put task 8 onto pending_task_queue, where 2 wait',
    ]);
  });

  /** What the log says at the level debug of these events and of the turn behind them. */
  const debugLines = (bench: Bench, ...events: ReturnType<Bench['task']>[]): string[] =>
    [...events, { type: 'turn' } as const]
      .flatMap((event) => step(bench.state, event, bench.now, []))
      .flatMap((effect) => (effect.do === 'log' && effect.level === 'debug' ? [String(effect.text)] : []));

  it('at the debug level one line says what came of a manager and what it holds after it was given more', () => {
    const bench = new Bench({ logLevel: 'debug' });
    bench.take(bench.register('m', { maxCapacity: 2 }), bench.task(1), bench.task(2));
    assert.deepEqual(debugLines(bench, bench.results('m', 1)), [
      'Passed on 1 of 1 results of manager m; it now holds 1 of at most 2 tasks',
    ]);
    assert.deepEqual(debugLines(bench, bench.results('m', 2, 9)), [
      'Passed on 1 of 2 results of manager m; it now holds 0 of at most 2 tasks',
    ]);
    assert.deepEqual(debugLines(bench, bench.task(4)), [
      'Put task 4 onto pending_task_queue, where 1 wait',
      'Manager m now holds 1 of at most 2 tasks',
    ]);
    bench.take({ type: 'drain', peer: 'm' });
    assert.deepEqual(debugLines(bench, bench.results('m', 4)), [
      'Passed on 1 of 1 results of manager m; it now holds 0 of at most 2 tasks',
    ]);
  });

  it('while a manager stays full its results are added up for a tenth of a second, and none is left out', () => {
    const bench = new Bench({ logLevel: 'debug' });
    const ids = [1, 2, 3, 4, 5, 6, 7, 8];
    bench.take(bench.register('m', { maxCapacity: 1 }), ...ids.map((id) => bench.task(id)));
    assert.deepEqual(debugLines(bench, bench.results('m', 1)), []);
    assert.deepEqual(debugLines(bench, bench.results('m', 2)), []);
    bench.wait(100);
    assert.deepEqual(debugLines(bench, bench.results('m', 3)), [
      'Passed on 3 of 3 results of manager m; it now holds 1 of at most 1 tasks',
    ]);
    assert.deepEqual(debugLines(bench, bench.results('m', 4)), []);
    assert.deepEqual(
      debugLines(bench, bench.results('m', 5, 77)),
      ['Passed on 2 of 3 results of manager m; it now holds 1 of at most 1 tasks'],
      'what is dropped is said at once',
    );
    assert.deepEqual(debugLines(bench, bench.results('m', 6)), []);
    assert.deepEqual(debugLines(bench, bench.results('m', 7)), []);
    assert.deepEqual(debugLines(bench, bench.results('m', 8)), [
      'Passed on 3 of 3 results of manager m; it now holds 0 of at most 1 tasks',
    ]);
  });

  it('of a manager that is lost the log says what has been added up, too', () => {
    const bench = new Bench({ logLevel: 'debug' });
    bench.take(bench.register('m', { maxCapacity: 1 }), bench.task(1), bench.task(2), bench.task(3));
    assert.deepEqual(debugLines(bench, bench.results('m', 1)), []);
    assert.deepEqual(debugLines(bench, bench.results('m', 2)), []);
    assert.deepEqual(debugLines(bench, bench.register('m')), [
      'Passed on 2 of 2 results of manager m; it now holds 0 of at most 1 tasks',
    ]);
  });

  it('no line of the debug level has anything in it that acts upon a terminal, whatever managers are called', () => {
    const bench = new Bench({ logLevel: 'debug' });
    const peer = '\x1b[2J\n\r\x07\xe2\x80\xae';
    const results = bench.results(peer, 1);
    const lines = debugLines(bench, bench.register(peer), bench.task(1), { type: 'turn' }, results, results);
    assert.ok(lines.length >= 3, lines.join('; '));
    for (const line of lines) assert.match(line, /^[ -~]+$/);
  });

  it('a manager never gets more tasks than it said it can take', () => {
    const bench = new Bench();
    bench.take(bench.register('m', { maxCapacity: 3 }));
    const tasks = [1, 2, 3, 4, 5].map((id) => bench.task(id));
    assert.deepEqual(bench.tell(...tasks), ['m gets 1 2 3']);
    assert.deepEqual(bench.tell(bench.results('m', 2)), ['forward result 2', 'm gets 4']);
  });

  it('the lowest priority number leaves first, then the lowest task id, and tasks without priority last', () => {
    const bench = new Bench();
    bench.take(
      bench.task(5),
      bench.task(4),
      bench.task(9, { priority: 2 }),
      bench.task(7, { priority: -1.5 }),
      bench.task(8, { priority: 2 }),
      bench.task(6, { priority: Number.POSITIVE_INFINITY }),
    );
    assert.deepEqual(bench.tell(bench.register('m', { maxCapacity: 10 })), ['m gets 7 8 9 6 4 5']);
  });

  it('messages of tasks are bounded in bytes', () => {
    const bench = new Bench({ batchBytes: 250 });
    const body = { bytes: new Uint8Array(100), start: 0, end: 100 };
    const tasks = [1, 2, 3, 4, 5].map((taskId) => ({ ...bench.task(taskId), ...body }));
    bench.take(...tasks);
    assert.deepEqual(bench.tell(bench.register('m', { maxCapacity: 9 })), ['m gets 1 2', 'm gets 3 4', 'm gets 5']);
  });

  it('a manager with capacity zero, or a negative one, gets nothing', () => {
    const bench = new Bench();
    bench.take(bench.register('m', { maxCapacity: 0 }), bench.register('n', { maxCapacity: -4 }));
    assert.deepEqual(bench.tell(bench.task(1)), []);
  });

  it('tasks go only to managers whose workers have their runtime', () => {
    const bench = new Bench();
    bench.take(bench.task(1, { runtime: 'node' }), bench.task(2), bench.task(3, { runtime: 'node' }));
    assert.deepEqual(bench.tell(bench.register('py', { maxCapacity: 9 })), ['py gets 2']);
    assert.deepEqual(bench.tell(bench.register('js', { runtimes: ['node'], maxCapacity: 1 })), ['js gets 1']);
    assert.deepEqual(bench.tell(bench.register('both', { runtimes: ['python', 'node'], maxCapacity: 9 })), [
      'both gets 3',
    ]);
  });

  it('a manager with several runtimes takes its tasks in the one order of all', () => {
    const bench = new Bench();
    bench.take(bench.task(1, { runtime: 'node' }), bench.task(2), bench.task(3, { runtime: 'node' }), bench.task(4));
    const both = bench.register('m', { runtimes: ['python', 'node'], maxCapacity: 9 });
    assert.deepEqual(bench.tell(both), ['m gets 1 2 3 4']);
  });

  it('a manager whose results came gets its next tasks without waiting for the end of the turn', () => {
    const bench = new Bench();
    bench.take(bench.register('a', { maxCapacity: 1 }), bench.register('b', { maxCapacity: 2 }));
    bench.take(...[1, 2, 3, 4, 5, 6].map((id) => bench.task(id)));
    const [first] = bench.state.managers.get('a')?.taskIds() ?? [];
    const results = bench.results('a', first ?? 0);
    assert.deepEqual(bench.tellOnly(results), [`forward result ${first}`]);
    assert.equal(wantsTurn(bench.state, results), false);
    assert.deepEqual(bench.tellOnly({ type: 'refill' }), ['a gets 4']);
    assert.deepEqual(bench.tellOnly({ type: 'refill' }, { type: 'turn' }), [], 'both are full');
    bench.counts({ queued: 2, leased: 3, answered: 1 });
  });

  it('tasks of this turn go to whom the selector picks, and not to a manager whose results happen to come with them', () => {
    const bench = new Bench({ selector: 'block-id' });
    bench.take(bench.register('low', { blockId: '1' }), bench.task(1), bench.task(2));
    bench.take(bench.register('high', { blockId: '2' }));
    bench.takeOnly(bench.task(3));
    assert.deepEqual(bench.tellOnly(bench.results('low', 1), { type: 'refill' }), ['forward result 1']);
    assert.deepEqual(bench.tellOnly({ type: 'turn' }), ['high gets 3']);
  });

  it('after a heartbeat there is nothing to give out, after results with monitoring there is a record', () => {
    const bench = new Bench({ isMonitored: true });
    bench.take(bench.register('a'));
    bench.take(bench.task(1));
    const beat = { type: 'heartbeat', peer: 'a' } as const;
    assert.deepEqual(bench.tellOnly(beat), ['heartbeat to a']);
    assert.equal(wantsTurn(bench.state, beat), false);
    const results = bench.results('a', 1);
    bench.tellOnly(results, { type: 'refill' });
    assert.ok(wantsTurn(bench.state, results));
    assert.deepEqual(bench.tellOnly({ type: 'turn' }), ['record a']);
  });

  it('the random selector uses every ready manager in the long run', () => {
    const bench = new Bench({ random: seeded(5) });
    for (let at = 0; at < 10; at++) bench.take(bench.register(`m${at}`, { maxCapacity: 100 }));
    const used = new Set(Array.from({ length: 200 }, (_, id) => bench.tell(bench.task(id))[0]?.split(' ')[0]));
    assert.equal(used.size, 10);
  });

  it('the block selector serves the highest block id first, compared as text', () => {
    const bench = new Bench({ selector: 'block-id' });
    for (const blockId of ['1', '10', '9', '2']) {
      bench.take(bench.register(`block${blockId}`, { blockId, maxCapacity: 1 }));
    }
    const order = [1, 2, 3, 4].map((id) => bench.tell(bench.task(id))[0]);
    assert.deepEqual(order, ['block9 gets 1', 'block2 gets 2', 'block10 gets 3', 'block1 gets 4']);
  });

  it('a task id that comes again while unanswered is dropped, since two answers would end the submitter', () => {
    const bench = new Bench();
    bench.take(bench.task(1), bench.task(1));
    bench.counts({ received: 1, duplicates: 1 });
    assert.deepEqual(bench.tell(bench.register('m')), ['m gets 1']);
  });
});

describe('results', () => {
  it('pass byte for byte, all of one message together', () => {
    const bench = new Bench();
    bench.take(bench.register('m'), bench.task(1), bench.task(2));
    assert.deepEqual(bench.tell(bench.results('m', 2, 1)), ['forward result 2, result 1']);
    bench.counts({ answered: 2, results: 2 });
  });

  it('for tasks the manager does not hold are dropped and counted', () => {
    const bench = new Bench();
    bench.take(bench.register('m'), bench.register('n', { maxCapacity: 0 }), bench.task(1));
    assert.deepEqual(bench.tell(bench.results('n', 1)), []);
    assert.deepEqual(bench.tell(bench.results('nobody', 1)), []);
    assert.deepEqual(bench.tell(bench.results('m', 1, 1, 7, -1)), ['forward result 1']);
    bench.counts({ strayResults: 5, results: 1 });
  });

  it('that cannot be read fail their task if its id can be, and harm no other', () => {
    const bench = new Bench();
    bench.take(bench.register('m'), bench.task(1), bench.task(2));
    const items = [
      { kind: 'unreadable', taskId: 1, reason: 'neither result nor exception' },
      { kind: 'unreadable', taskId: undefined, reason: 'no pickle' },
      { kind: 'outcome', taskId: 2, frame: new TextEncoder().encode('two') },
    ] as const;
    assert.deepEqual(bench.tell({ type: 'results', peer: 'm', items }), ['1 fails: unreadable result', 'forward two']);
  });

  it('come with notes only if the submitter has shown that it is Chervil', () => {
    const note = { kind: 'note', taskId: 1, frame: new TextEncoder().encode('note') } as const;
    const python = new Bench();
    python.take(python.register('m'), python.task(1));
    assert.deepEqual(python.tell({ type: 'results', peer: 'm', items: [note, outcome(1)] }), ['forward result 1']);
    const chervil = new Bench();
    chervil.take(chervil.register('m'), chervil.task(1, { runtime: 'python' }));
    assert.deepEqual(chervil.tell({ type: 'results', peer: 'm', items: [note, outcome(1)] }), [
      'forward note, result 1',
    ]);
  });

  it("that begin with no serializer's name fail their task, unless the submitter is Chervil", () => {
    const bare = { ...outcome(1), isBare: true } as const;
    const python = new Bench();
    python.take(python.register('m'), python.task(1), python.task(2));
    const items = [bare, outcome(2)];
    assert.deepEqual(python.tell({ type: 'results', peer: 'm', items }), [
      '1 fails: unreadable result',
      'forward result 2',
    ]);
    const chervil = new Bench();
    chervil.take(chervil.register('m'), chervil.task(1, { runtime: 'python' }));
    assert.deepEqual(chervil.tell({ type: 'results', peer: 'm', items: [bare] }), ['forward result 1']);
  });

  it('with monitoring are relayed only if somebody listens', () => {
    const items = [{ kind: 'monitoring', frame: new Uint8Array(1) }] as const;
    const deaf = new Bench();
    deaf.take(deaf.register('m'));
    assert.deepEqual(deaf.tell({ type: 'results', peer: 'm', items }), []);
    const bench = new Bench({ isMonitored: true });
    assert.deepEqual(bench.tell(bench.register('m')), ['record m']);
    assert.deepEqual(bench.tell({ type: 'results', peer: 'm', items }), ['relay monitoring']);
  });
});

describe('managers', () => {
  it('get an answer to a heartbeat only when registered, and to a probe always', () => {
    const bench = new Bench();
    assert.deepEqual(bench.tell({ type: 'heartbeat', peer: 'm' }, { type: 'probe', peer: 'm' }), ['probe to m']);
    assert.deepEqual(bench.tell(bench.register('m'), { type: 'heartbeat', peer: 'm' }), ['heartbeat to m']);
  });

  it('that are silent for longer than the threshold are lost, and each of their tasks fails with it', () => {
    const bench = new Bench();
    bench.take(bench.register('m'), bench.register('n'), bench.task(1), bench.task(2), bench.task(3));
    bench.wait(60_000);
    bench.take({ type: 'heartbeat', peer: 'n' });
    const effects = bench.wait(60_002);
    const failed = effects.filter((effect) => effect.do === 'fail');
    sure(failed.length >= 1 && failed.every((effect) => effect.failure.kind === 'manager lost'));
    assert.equal(bench.state.managers.size, 1);
    assert.deepEqual(bench.tell({ type: 'heartbeat', peer: 'm' }), []);
    bench.wait(60_000);
    assert.equal(bench.state.managers.size, 0);
    bench.counts({ managersLost: 2, leased: 0, answered: 3 });
  });

  it('are not missed while the interchange itself stood still', () => {
    const bench = new Bench();
    bench.take(bench.register('m'), bench.task(1));
    bench.now += 500_000;
    assert.deepEqual(bench.tell({ type: 'timer' }), []);
    assert.deepEqual(bench.tell({ type: 'heartbeat', peer: 'm' }), ['heartbeat to m']);
    assert.deepEqual(bench.wait(100_000), []);
    assert.equal(bench.wait(30_000).length, 1);
  });

  it('whose late results come after their loss get no second answer', () => {
    const bench = new Bench();
    bench.take(bench.register('m'), bench.task(1));
    bench.wait(200_000);
    assert.deepEqual(bench.tell(bench.results('m', 1)), []);
    bench.counts({ answered: 1, failures: 1, strayResults: 1 });
  });

  it('without connection get no tasks, and are lost after the grace', () => {
    const bench = new Bench({ disconnectGraceMs: 5_000 });
    bench.take(bench.register('m'), bench.task(1));
    bench.take({ type: 'disconnected', peer: 'm' });
    assert.deepEqual(bench.tell(bench.task(2)), []);
    bench.wait(4_000);
    assert.deepEqual(bench.tell({ type: 'connected', peer: 'm' }), ['m gets 2']);
    assert.deepEqual(bench.wait(20_000), []);
    bench.take({ type: 'disconnected', peer: 'm' });
    assert.equal(bench.wait(6_000).length, 2);
  });

  it('that drain get no more tasks, and leave when they hold none', () => {
    const bench = new Bench();
    bench.take(bench.register('m'), bench.task(1));
    assert.deepEqual(bench.tell({ type: 'drain', peer: 'm' }, bench.task(2)), []);
    assert.deepEqual(bench.tell(bench.results('m', 1)), ['forward result 1', 'drained to m']);
    assert.equal(bench.state.managers.size, 0);
    assert.deepEqual(bench.tell(bench.register('n')), ['n gets 2']);
    assert.deepEqual(bench.tell(bench.results('n', 2), { type: 'drain', peer: 'n' }), [
      'forward result 2',
      'drained to n',
    ]);
  });

  it('that have drained may finish their sentences: monitoring hears them, and nothing is called stray', () => {
    const bench = new Bench({ isMonitored: true });
    bench.take(bench.register('m'), { type: 'drain', peer: 'm' });
    const last: InterchangeEvent[] = [
      {
        type: 'results',
        peer: 'm',
        items: [{ kind: 'monitoring', frame: new Uint8Array([1]) }, { kind: 'heartbeat' }],
      },
      { type: 'drain', peer: 'm' },
      { type: 'heartbeat', peer: 'm' },
    ];
    assert.deepEqual(bench.logged(...last), []);
    assert.deepEqual(
      bench.take(last[0] as InterchangeEvent).map(({ do: what }) => what),
      ['relay monitoring'],
    );
    bench.counts({ strayResults: 0, malformed: 0 });
    // A result is still one that nobody asked for, and a stranger may tell monitoring nothing.
    bench.take(bench.results('m', 1));
    const stranger = {
      type: 'results',
      peer: 'x',
      items: [{ kind: 'monitoring', frame: new Uint8Array([1]) }],
    } as const;
    assert.deepEqual(bench.take(stranger), []);
    bench.counts({ strayResults: 2 });
  });

  it('that drained long ago, or came back since, are strangers as all others', () => {
    const bench = new Bench({ isMonitored: true });
    const leave = (peer: string): void => void bench.take(bench.register(peer), { type: 'drain', peer });
    const isHeard = (peer: string): boolean => {
      const items = [{ kind: 'monitoring', frame: new Uint8Array([1]) }] as const;
      return bench.take({ type: 'results', peer, items }).some((effect) => effect.do === 'relay monitoring');
    };
    for (let count = 0; count < 1_001; count++) leave(`m${count}`);
    assert.deepEqual(['m0', 'm1', 'm1000'].map(isHeard), [false, true, true]);
    bench.take(bench.register('m1', { blockId: '7' }));
    bench.take({ type: 'disconnected', peer: 'm1' });
    bench.wait(200_000);
    assert.equal(bench.state.managers.size, 0);
    assert.deepEqual(['m1', 'm2'].map(isHeard), [false, true]);
  });

  it('that repeat themselves do not fill the log', () => {
    const bench = new Bench();
    bench.take(bench.register('m'));
    const repeated: InterchangeEvent[] = [
      { type: 'malformed', peer: 'm', reason: 'it is no pickle' },
      { type: 'heartbeat', peer: 'x' },
      { type: 'drain', peer: 'x' },
      { type: 'capacity', peer: 'x', capacity: 3 },
      { type: 'code wanted', peer: 'x', name: 'a' },
      bench.results('x', 1),
      bench.results('m', 7),
      { type: 'results', peer: 'm', items: [{ kind: 'unreadable', taskId: undefined, reason: 'it is no pickle' }] },
    ];
    const lines: string[] = [];
    for (let time = 0; time < 150; time++) lines.push(...bench.logged(...repeated));
    assert.equal(lines.length, 3 * repeated.length, lines.join('\n'));
    assert.deepEqual(
      lines.filter((line) => line.startsWith('Dropped a message')),
      [
        'Dropped a message of m: it is no pickle',
        'Dropped a message of m: it is no pickle (10 times from there so far)',
        'Dropped a message of m: it is no pickle (100 times from there so far)',
      ],
    );
    bench.counts({ malformed: 300, strayResults: 300 });
  });

  it('that said when they want to drain do so at that time', () => {
    const bench = new Bench();
    const drainTime = (bench.now + 60_000) / 1_000;
    bench.take(bench.register('m', { drainTime }), bench.register('n', { drainTime: drainTime + 30 }));
    bench.take(bench.task(1), bench.task(2), bench.task(3));
    assert.deepEqual(bench.wait(59_000).map(tell), []);
    const holder = bench.state.tasks.get(1)?.manager?.peer;
    bench.take({ type: 'heartbeat', peer: 'm' }, { type: 'heartbeat', peer: 'n' });
    bench.wait(2_000);
    assert.equal(bench.state.managers.get('m')?.isDraining ?? true, true);
    assert.equal(bench.state.managers.get('n')?.isDraining, false);
    sure(holder !== undefined);
    const ids = bench.state.managers.get('m')?.taskIds() ?? [];
    const told = bench.tell(bench.results('m', ...ids), bench.task(4));
    sure(ids.length === 0 || told.includes('drained to m'), told.join());
    assert.deepEqual(
      [...bench.state.managers.values()].map((manager) => manager.name),
      ['n'],
    );
  });

  it('that are held keep their tasks, get no more, and still can drain', () => {
    const bench = new Bench();
    bench.take(bench.register('m'), bench.task(1));
    const hold = { type: 'command', token: 7, command: { name: 'hold manager', manager: 'm' } } as const;
    assert.deepEqual(bench.tell(hold, bench.task(2)), ['answer 7: nothing']);
    assert.deepEqual(bench.tell({ type: 'drain', peer: 'm' }), []);
    assert.deepEqual(bench.tell(bench.results('m', 1)), ['forward result 1', 'drained to m']);
  });

  it('that register twice lose the tasks of their first life', () => {
    const bench = new Bench();
    bench.take(bench.register('m'), bench.task(1), bench.task(2), bench.task(3));
    assert.deepEqual(bench.tell(bench.register('m')), ['1 fails: manager lost', '2 fails: manager lost', 'm gets 3']);
  });

  it('with equal packages share one copy of the list', () => {
    const bench = new Bench();
    const packages = () =>
      new Map([
        ['numpy', '2.0'],
        ['scipy', '1.14'],
      ]);
    bench.take(bench.register('a', { packages: packages() }), bench.register('b', { packages: packages() }));
    const copies = [...bench.state.managers.values()].map((manager) => manager.registration.packages);
    assert.equal(copies[0], copies[1]);
  });

  it('have names that no terminal or file system can be harmed with', () => {
    const bench = new Bench();
    bench.take(bench.register('../x'), bench.register('\x1b[2J'), bench.register('\xff\xfe'), bench.register('\\xff'));
    const names = [...bench.state.managers.values()].map((manager) => manager.name);
    assert.deepEqual(names, ['..\\x2fx', '\\x1b\\x5b2J', '\\xff\\xfe', '\\x5cxff']);
  });
});

describe('versions', () => {
  const ours = { parsl: '2026.07.27', python: '3.11', where: '/venv/lib/python3.11/site-packages/parsl/version.py' };
  const guided = { versions: { onMismatch: 'refuse', installation: ours } } as const;
  const other = { pythonVersion: '3.12.1' };

  it('a manager of a wrong version is refused and named, and the run goes on', () => {
    const bench = new Bench(guided);
    bench.take(bench.register('good'));
    assert.deepEqual(bench.tell(bench.register('bad', other)), ['drained to bad']);
    assert.deepEqual(bench.tell(bench.task(1)), ['good gets 1']);
    const { refusals } = statusReport(bench.state, bench.now);
    assert.equal(refusals[0]?.manager, 'bad');
    assert.match(refusals[0]?.reason ?? '', /Python 3\.12, and not 2026\.07\.27 and 3\.11 as \/venv\/lib.* says$/);
  });

  it('a wrong manager that comes first stays only until a right one comes', () => {
    const bench = new Bench(guided);
    assert.deepEqual(bench.tell(bench.register('bad', other), bench.register('worse', other)), []);
    assert.match(statusReport(bench.state, bench.now).managers[0]?.doubt ?? '', /Python 3\.12, and not/);
    bench.take(bench.task(1));
    const idle = [...bench.state.managers.values()].find((manager) => manager.leased === 0)?.name ?? '';
    const busy = idle === 'bad' ? 'worse' : 'bad';
    // The idle one goes at once, the other when it has finished; new work is for the right one alone.
    assert.deepEqual(bench.tell(bench.register('good'), bench.task(2)), [`drained to ${idle}`, 'good gets 2']);
    assert.deepEqual(bench.tell(bench.results(busy, 1)), ['forward result 1', `drained to ${busy}`]);
    assert.equal(statusReport(bench.state, bench.now).refusals.length, 2);
  });

  it('where the installed Parsl is not the one in use, nobody is turned away', () => {
    const bench = new Bench(guided);
    const versions = { parslVersion: '2026.08.03' };
    assert.deepEqual(bench.tell(bench.register('a', versions), bench.register('b', versions)), []);
    assert.deepEqual(bench.tell(bench.task(1), bench.task(2), bench.task(3), bench.task(4)).length, 2);
  });

  it('where nothing is known of the right versions, differences are named and nobody is turned away', () => {
    const bench = new Bench();
    assert.deepEqual(bench.tell(bench.register('a', other), bench.register('b'), bench.register('c')), []);
    const doubts = statusReport(bench.state, bench.now).managers.map((line) => line.doubt !== undefined);
    assert.deepEqual(doubts, [false, true, true]);
  });

  it('patch releases of Python are alike', () => {
    const bench = new Bench();
    bench.take(bench.register('a'));
    assert.deepEqual(bench.tell(bench.register('b', { pythonVersion: '3.11.9' })), []);
  });

  it("under Parsl's own policy a wrong version ends the run with a VersionMismatch", () => {
    const bench = new Bench({ versions: { onMismatch: 'end', parsl: '2026.07.27', python: '3.11.7' } });
    assert.deepEqual(bench.tell(bench.register('bad', { parslVersion: '9.9.9' })), [
      'drained to bad',
      '-1 fails: version mismatch',
      'end',
    ]);
  });

  it('no version is looked at when the submitter does not want it', () => {
    const bench = new Bench({ versions: { onMismatch: 'accept', parsl: '1', python: '2.7' } });
    assert.deepEqual(bench.tell(bench.register('m'), bench.task(1)), ['m gets 1']);
  });

  it('pools that pack payloads in another way than the submitter are refused, whatever the policy', () => {
    const bench = new Bench({ versions: { onMismatch: 'accept' }, submitEras: ['G', 'H', 'I'] });
    assert.deepEqual(bench.tell(bench.register('old', { parslVersion: '2025.10.06' })), ['drained to old']);
    const oldest = { type: 'registration', peer: 'a', style: 'two-port', registration: registration() } as const;
    assert.deepEqual(bench.tell(oldest), ['drained to a']);
    assert.deepEqual(bench.tell(bench.register('near', { parslVersion: '2026.01.05' }), bench.task(1)), [
      'near gets 1',
    ]);
  });

  it('pools join before the submitter has shown its era, and go when they turn out to be of another', () => {
    const bench = new Bench({ versions: { onMismatch: 'accept' }, submitEras: ['D', 'E', 'F', 'G'] });
    const releases = ['2025.09.15', '2025.09.22', '2025.10.06', '2026.01.05', '1.3.0-dev'];
    for (const parslVersion of releases) bench.take(bench.register(parslVersion, { parslVersion }));
    assert.equal(bench.state.managers.size, 5);
    const said = bench.tell({ type: 'envelope', envelope: 'resource_spec' });
    assert.deepEqual(said, ['drained to 2026.01.05']);
    assert.deepEqual(bench.tell(bench.register('late', { parslVersion: '2026.07.20' })), ['drained to late']);
    assert.match(statusReport(bench.state, bench.now).refusals[0]?.reason ?? '', /packs tasks as in 2025\.12\.15/);
  });

  it('under the policy of Parsl, without an installation, the first manager decides', () => {
    const bench = new Bench({ versions: { onMismatch: 'end' } });
    bench.take(bench.register('a'));
    assert.deepEqual(bench.tell(bench.register('b', other)), ['drained to b', '-1 fails: version mismatch', 'end']);
  });

  it('a Chervil pool is told why, and one without Python workers is not asked about Python', () => {
    const bench = new Bench(guided);
    bench.take(bench.register('good'));
    const changes = { parslVersion: 'other', extensions: ['refusal'] } as const;
    assert.deepEqual(bench.tell(bench.register('m', changes)), ['refuse m']);
    assert.deepEqual(bench.tell(bench.register('n', { ...changes, runtimes: ['node'] })), []);
  });
});

describe('commands', () => {
  it('cancel fails a queued task at once and asks the manager of a running one', () => {
    const bench = new Bench();
    bench.take(bench.register('m', { extensions: ['cancel'], maxCapacity: 1 }), bench.task(1), bench.task(2));
    bench.take(bench.task(3));
    const [first, second, answer] = bench.take({
      type: 'command',
      token: 1,
      command: { name: 'cancel', taskIds: [1, 2, 9] },
    });
    sure(first?.do === 'cancel task' && first.taskId === 1);
    sure(second?.do === 'fail' && second.taskId === 2);
    sure(answer?.do === 'answer' && answer.reply.name === 'cancelled');
    assert.deepEqual(answer.reply.answers, ['asked', 'removed', 'unknown']);
    assert.deepEqual(bench.tell(bench.results('m', 1)), ['forward result 1', 'm gets 3']);
  });

  it('cancel says so when the manager cannot stop tasks', () => {
    const bench = new Bench();
    bench.take(bench.register('m'), bench.task(1));
    const [answer] = bench.take({ type: 'command', token: 1, command: { name: 'cancel', taskIds: [1] } });
    sure(answer?.do === 'answer' && answer.reply.name === 'cancelled');
    assert.deepEqual(answer.reply.answers, ['running']);
  });

  it('every command is answered, the unknown with nothing', () => {
    const bench = new Bench();
    assert.deepEqual(bench.tell({ type: 'command', token: 3, command: { name: 'unknown', shown: '5' } }), [
      'answer 3: nothing',
    ]);
  });

  it('managers are listed with their tasks and how long they have been idle', () => {
    const bench = new Bench();
    bench.take(bench.register('m'), bench.register('n', { maxCapacity: 0 }), bench.task(1));
    bench.now += 1_500;
    const [answer] = bench.take({ type: 'command', token: 1, command: { name: 'managers' } });
    sure(answer?.do === 'answer' && answer.reply.name === 'managers');
    assert.deepEqual(
      answer.reply.managers.map(({ manager, tasks, idleSeconds }) => ({ manager, tasks, idleSeconds })),
      [
        { manager: 'm', tasks: 1, idleSeconds: 0 },
        { manager: 'n', tasks: 0, idleSeconds: 1.5 },
      ],
    );
  });

  it('blocks stay connected for ever, one entry for each manager', () => {
    const bench = new Bench();
    bench.take(bench.register('m', { blockId: '7' }), bench.register('n', { blockId: '7' }));
    bench.wait(500_000);
    const [answer] = bench.take({ type: 'command', token: 1, command: { name: 'connected blocks' } });
    sure(answer?.do === 'answer' && answer.reply.name === 'texts');
    assert.deepEqual(answer.reply.values, ['7', '7']);
  });
});

describe('broken messages', () => {
  it('on the task channel are answered if the id can be read, and else counted', () => {
    const bench = new Bench();
    assert.deepEqual(bench.tell({ type: 'unreadable task', taskId: 4, reason: 'no buffer' }), [
      '4 fails: unreadable task',
    ]);
    assert.deepEqual(bench.tell({ type: 'unreadable task', taskId: undefined, reason: 'no pickle' }), []);
    bench.counts({ received: 1, answered: 1, malformed: 1 });
  });
});

test('what pools say of themselves does not act upon the terminal that shows the status', () => {
  const bench = new Bench();
  const hostile = 'a\x1b[31m\u009b31m\u202eb';
  bench.take(bench.register('m', { blockId: hostile, pythonVersion: hostile, runtimes: ['python', hostile] }));
  const shown = formatStatus(statusReport(bench.state, bench.now));
  assert.match(shown, /block "a\\u001b\[31m\\x9b31m\\u202eb"/);
  assert.doesNotMatch(shown.replaceAll('\n', ''), /[\p{Cc}\u202e]/u);
});
