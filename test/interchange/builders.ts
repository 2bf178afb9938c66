// Builders for interchange tests: registrations, tasks, a core with a clock that stands still, and seeded chance.
import assert from 'node:assert/strict';
import { checkLaw, createInterchange, type InterchangeState, step } from '#src/interchange/core.js';
import type { InterchangeEffect, InterchangeEvent, InterchangeSettings } from '#src/interchange/events.js';
import type { Registration } from '#src/wire/messages/manager.js';

/** A registration as a pool of two workers sends it. */
export function registration(changes: Partial<Registration> = {}): Registration {
  return {
    parslVersion: '2026.07.27',
    pythonVersion: '3.11.7',
    packages: new Map([['parsl', '2026.07.27']]),
    workerCount: 2,
    uid: 'abcdef012345',
    blockId: '0',
    startTime: 1.75e9,
    prefetchCapacity: 0,
    maxCapacity: 2,
    os: 'Linux',
    hostname: 'node1',
    dir: '/home/user',
    cpuCount: 4,
    totalMemory: 8_000_000_000,
    runtimes: ['python'],
    extensions: [],
    ...changes,
  };
}

export const emptyBody = { bytes: new Uint8Array([0x7d]), start: 0, end: 1 };

/** An outcome frame; its bytes tell the task, so that tests see what was passed on. */
export function outcome(taskId: number): { kind: 'outcome'; taskId: number; frame: Uint8Array } {
  return { kind: 'outcome', taskId, frame: new TextEncoder().encode(`result ${taskId}`) };
}

/** Numbers in [0, 1) that repeat with the seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The seed of a random test: of the environment, or a new one. A failure prints it. */
export function withSeed(run: (seed: number) => void): void {
  const given = process.env.CHERVIL_SEED;
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
  try {
    run(seed);
  } catch (error) {
    console.error(`failed with CHERVIL_SEED=${seed}`);
    throw error;
  }
}

/** A core under test. Every step checks the law. */
export class Bench {
  readonly state: InterchangeState;
  now = 1_000_000;
  #pending: InterchangeEffect[] = [];

  constructor(settings: Partial<InterchangeSettings> = {}) {
    this.state = createInterchange({
      heartbeatThresholdMs: 120_000,
      selector: 'random',
      random: seeded(1),
      versions: { onMismatch: 'refuse' },
      ...settings,
    });
  }

  /** Takes these events and one turn; gives what must be done, log lines and timers apart. */
  take(...events: InterchangeEvent[]): InterchangeEffect[] {
    return this.takeOnly(...events, { type: 'turn' });
  }

  /** As `take`, without the turn. */
  takeOnly(...events: InterchangeEvent[]): InterchangeEffect[] {
    for (const event of events) {
      step(this.state, event, this.now, this.#pending);
      checkLaw(this.state);
    }
    const effects = this.#pending;
    this.#pending = [];
    for (const effect of effects) if (effect.do === 'send tasks') for (const task of effect.tasks) task.letGo();
    return effects.filter((effect) => effect.do !== 'log' && effect.do !== 'timer');
  }

  /** Takes these events and one turn; gives the lines of the log. */
  logged(...events: InterchangeEvent[]): string[] {
    const effects: InterchangeEffect[] = [];
    for (const event of [...events, { type: 'turn' } as const]) step(this.state, event, this.now, effects);
    checkLaw(this.state);
    return effects.flatMap((effect) => (effect.do === 'log' ? [String(effect.text)] : []));
  }

  /** As `take`, in the short form of {@link tell}. */
  tell(...events: InterchangeEvent[]): string[] {
    return this.take(...events).map(tell);
  }

  tellOnly(...events: InterchangeEvent[]): string[] {
    return this.takeOnly(...events).map(tell);
  }

  task(taskId: number, changes: { priority?: number; runtime?: string } = {}): InterchangeEvent {
    return { type: 'task', taskId, priority: changes.priority, runtime: changes.runtime, ...emptyBody };
  }

  register(peer: string, changes: Partial<Registration> = {}): InterchangeEvent {
    return { type: 'registration', peer, style: 'one-port', registration: registration(changes) };
  }

  results(peer: string, ...taskIds: number[]): InterchangeEvent {
    return { type: 'results', peer, items: taskIds.map(outcome) };
  }

  /** Lets time pass; the timer fires when it must. */
  wait(ms: number): InterchangeEffect[] {
    const until = this.now + ms;
    const effects: InterchangeEffect[] = [];
    while (this.state.timerAt <= until) {
      this.now = this.state.timerAt;
      effects.push(...this.take({ type: 'timer' }));
    }
    this.now = until;
    return effects;
  }

  /** Asserts where the tasks stand. */
  counts(expected: Partial<InterchangeState['counters']>): void {
    const found = Object.fromEntries(
      Object.keys(expected).map((name) => [name, this.state.counters[name as keyof InterchangeState['counters']]]),
    );
    assert.deepEqual(found, expected);
  }
}

/** An effect in a few words, for assertions. */
export function tell(effect: InterchangeEffect): string {
  switch (effect.do) {
    case 'send tasks':
      return `${effect.manager.name} gets ${effect.tasks.map((task) => task.id).join(' ')}`;
    case 'reply':
      return `${effect.what} to ${effect.peer}`;
    case 'forward':
      return `forward ${effect.frames.map((frame) => new TextDecoder().decode(frame)).join(', ')}`;
    case 'fail':
      return `${effect.taskId} fails: ${effect.failure.kind}`;
    case 'cancel task':
      return `${effect.manager.name} cancels ${effect.taskId}`;
    case 'record manager':
      return `record ${effect.manager.name}`;
    case 'answer':
      return `answer ${effect.token}: ${effect.reply.name}`;
    case 'explain refusal':
      return `refuse ${effect.peer}`;
    default:
      return effect.do;
  }
}

/** As `assert.ok`, which takes minutes to word its message where the loader has put a file on one line. */
export function sure(condition: unknown, message = 'it is not so'): asserts condition {
  if (!condition) throw new assert.AssertionError({ message, actual: condition, expected: true, stackStartFn: sure });
}
