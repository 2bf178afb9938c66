// A pool's core on the bench: workers are a model that remembers what it was sent, and the clock stands still until told.
import assert from 'node:assert/strict';
import { checkLaw, createPool, type PoolState, step } from '#src/pool/core.js';
import type { Death, PoolEffect, PoolEvent, PoolSettings, Ran } from '#src/pool/events.js';
import { callTemplate, writeCall } from '#src/wire/calls.js';
import { codeReference } from '#src/wire/code-names.js';
import { fromBytes, toBytes } from '#src/wire/values.js';

export class PoolBench {
  now = 0;
  readonly state: PoolState;
  /** For each worker: the ticket that it began last. */
  readonly begun: number[];
  #effects: PoolEffect[] = [];

  constructor(settings: Partial<PoolSettings> = {}) {
    const complete: PoolSettings = {
      uid: 'pool',
      hostname: 'here',
      runtime: 'node',
      workerCount: 2,
      prefetch: 'auto',
      heartbeatPeriodMs: 30_000,
      heartbeatThresholdMs: 120_000,
      drainAfterMs: undefined,
      leastLoadingMs: 60_000,
      isDebug: false,
      takeBack: (rank) => this.begun[rank] ?? 0,
      begun: (rank) => this.begun[rank] ?? 0,
      ...settings,
    };
    this.state = createPool(complete, 0);
    this.begun = new Array(complete.workerCount).fill(0);
  }

  /** Something happens, and the turn ends. */
  on(...events: PoolEvent[]): this {
    for (const event of events) step(this.state, event, this.now, this.#effects);
    step(this.state, { type: 'turn' }, this.now, this.#effects);
    checkLaw(this.state);
    return this;
  }

  /** Time goes on, and the timer fires if it is due. */
  after(ms: number): this {
    this.now += ms;
    return this.now >= this.state.timerAt ? this.on({ type: 'timer' }) : this;
  }

  /** Connected, with all workers ready. */
  up(): this {
    this.on({ type: 'connected' });
    for (const worker of this.state.workers) this.on({ type: 'worker ready', rank: worker.rank });
    this.take();
    return this;
  }

  tasks(ids: readonly number[], options: CallOptions = {}): this {
    return this.on({
      type: 'tasks',
      tasks: ids.map((taskId) => ({ taskId, buffer: callBytes(options), context: new Map() })),
    });
  }

  /** A worker ends the job with this ticket. */
  ended(rank: number, ticket: number, tookMs = 0.01, beganAt = 0): this {
    this.begun[rank] = Math.max(this.begun[rank] ?? 0, ticket);
    return this.on({ type: 'job ended', rank, ticket, how: 'value', tookMs, beganAt, bytes: toBytes('done') });
  }

  gone(rank: number, death: Partial<Death> = {}): this {
    const event = {
      exitCode: null,
      signal: 'SIGKILL',
      reason: 'unknown',
      stderrTail: '',
      begun: this.begun[rank] ?? 0,
      ...death,
    } as const;
    this.begun[rank] = 0;
    return this.on({ type: 'worker gone', rank, death: event });
  }

  /** What the core wanted since the last call, without timers and log lines; jobs as `job RANK.TICKET`. */
  take(): string[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects.flatMap((effect) => {
      switch (effect.do) {
        case 'timer':
        case 'log':
          return [];
        case 'send job':
          return [`job ${effect.rank}.${effect.ticket}`];
        case 'result':
          return [`result ${effect.taskId} ${String(fromBytes(effect.bytes))}${ranText(effect.ran)}`];
        case 'fail':
          return [`fail ${effect.taskId} ${effect.error.code}`];
        case 'stop job':
          return [`stop ${effect.rank}.${effect.ticket}`];
        case 'start worker':
        case 'kill worker':
          return [`${effect.do} ${effect.rank}`];
        case 'tell capacity':
          return [`capacity ${effect.capacity}`];
        case 'note':
        case 'note running':
          return [`${effect.do} ${effect.taskId}`];
        case 'ask for code':
          return [`ask for ${effect.name}`];
        case 'end':
          return [`end ${effect.exitCode}: ${effect.reason}`];
        default:
          return [effect.do];
      }
    });
  }

  /** The core wanted exactly this. */
  wants(...expected: string[]): this {
    assert.deepEqual(this.take(), expected);
    return this;
  }
}

function ranText(ran: Ran | undefined): string {
  return ran === undefined ? '' : ` ran on ${ran.rank} at ${ran.beganAt} for ${ran.tookMs}`;
}

interface CallOptions {
  readonly isTold?: boolean;
  readonly timeoutMs?: number;
  readonly kind?: 'function' | 'bash';
  readonly key?: string;
  /** Files of code that it needs. */
  readonly code?: readonly string[];
}

function callBytes({ isTold = false, timeoutMs = 0, kind = 'function', key = 'f', code }: CallOptions): Uint8Array {
  const source = { by: 'reference', module: 'file:///tasks.js', export: key } as const;
  const template = callTemplate({ app: key, kind, source }, () => codeReference(code ?? []), code !== undefined);
  return writeCall(template, { taskId: 1, tryNumber: 0, timeoutMs, isTold, wantsOutput: false }, [], undefined, key);
}
