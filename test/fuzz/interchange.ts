// The interchange's readers, core and writers together, without sockets: what its shell does, as calls. Every word it
// would send is read back, and the books are checked all the time.
import assert from 'node:assert/strict';
import { checkLaw, createInterchange, type InterchangeState, step, wantsTurn } from '#src/interchange/core.js';
import type { InterchangeEffect, InterchangeEvent } from '#src/interchange/events.js';
import { identityBytes } from '#src/interchange/managers.js';
import { isResultBatch, isTaskBatch, readResults, readTasks } from '#src/wire/messages/batch.js';
import { splitBatch } from '#src/wire/messages/item.js';
import { bodyOfBuffer, readContext } from '#src/wire/messages/task.js';
import {
  type Envelope,
  envelopeOf,
  eraOfRelease,
  readAnswer,
  readCodeFile,
  readCommand,
  readInterchangeMessage,
  readManagerMessage,
  readStatus,
  readTask,
  readTaskBatch,
  statusDict,
  translation,
  writeFailure,
  writeInterchangeWord,
  writeNodeInfo,
  writeOutcome,
  writeReply,
  writeTaskBatch,
} from '#src/wire/messages.js';
import { decode, encode } from '#src/wire/pickle.js';
import { registration } from '../interchange/builders.ts';
import type { Chance } from './mutate.ts';

const bytes = Buffer.from('02\nN.');

/** An interchange that takes frames as they come from its sockets, well-formed or not. */
export class FrameInterchange {
  readonly state: InterchangeState;
  readonly #effects: InterchangeEffect[] = [];
  readonly #chance: Chance;
  readonly #answered = new Set<number>();
  #envelope: Envelope | undefined = 'context';
  #now = 1.8e12;

  constructor(chance: Chance) {
    this.#chance = chance;
    this.state = createInterchange({
      heartbeatThresholdMs: 120_000,
      disconnectGraceMs: 10_000,
      selector: chance(2) === 0 ? 'random' : 'block-id',
      random: () => chance(2 ** 30) / 2 ** 30,
      versions: { onMismatch: 'refuse', parsl: '2026.07.27', python: '3.11' },
      submitEras: ['H'],
      isMonitored: true,
      logLevel: 'debug',
    });
  }

  tasks(frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      if (isTaskBatch(frame)) {
        this.#batch(frame);
        continue;
      }
      const task = readTask(frame);
      const id = task.ok ? task.value.taskId : task.error.taskId;
      // An id may come again once it was answered.
      if (id !== undefined && this.state.tasks.get(id) === undefined) this.#answered.delete(id);
      if (!task.ok) {
        const code = task.error.taskId === undefined ? readCodeFile(frame) : undefined;
        if (code?.ok) {
          this.#feed({ type: 'code', ...code.value });
          continue;
        }
        this.#feed({ type: 'unreadable task', ...task.error });
        continue;
      }
      const { taskId, priority, runtime, envelope, bytes, start, end } = task.value;
      const complete = envelope === this.#envelope ? undefined : translation(envelope, this.#envelope ?? envelope);
      const body = complete?.(bytes.subarray(start, end));
      const place = body === undefined ? { bytes, start, end } : { bytes: body, start: 0, end: body.length };
      this.#feed({ type: 'task', taskId, priority, runtime, ...place });
    }
  }

  #batch(frame: Uint8Array): void {
    const batch = readTasks(frame);
    const route = batch.ok ? readContext(batch.value.context) : batch;
    if (!batch.ok || !route.ok) {
      this.#feed({ type: 'unreadable task', taskId: undefined, reason: 'broken' });
      return;
    }
    for (const id of batch.value.ids) if (this.state.tasks.get(id) === undefined) this.#answered.delete(id);
    this.#feed({ type: 'task batch', ...route.value, batch: batch.value });
  }

  commands([frame]: readonly Uint8Array[]): void {
    const command = frame === undefined ? ({ name: 'unknown', shown: '' } as const) : readCommand(frame);
    this.#feed({ type: 'command', token: 0, command });
  }

  pools(peer: string, frames: readonly Uint8Array[], port: 'single' | 'tasks' | 'results'): void {
    const style = frames[0]?.[0] === 0x7b ? 'two-port' : 'one-port';
    const message = readManagerMessage(frames, port);
    if (!message.ok) {
      this.#feed({ type: 'malformed', peer, reason: message.error });
      return;
    }
    const { value } = message;
    if (value.type === 'result') this.#feed({ type: 'results', peer, items: value.items });
    else if (value.type === 'registration')
      this.#feed({ type: 'registration', peer, style, registration: value.registration });
    else if (value.type === 'connection_probe') this.#feed({ type: 'probe', peer });
    else if (value.type === 'chervil_status') this.#feed({ type: 'status', peer, style });
    else if (value.type === 'chervil_capacity') this.#feed({ type: 'capacity', peer, capacity: value.capacity });
    else if (value.type === 'chervil_code') this.#feed({ type: 'code wanted', peer, name: value.name });
    else this.#feed({ type: value.type, peer });
  }

  /** A pool's connection breaks or comes back. */
  connection(peer: string, isThere: boolean): void {
    this.#feed({ type: isThere ? 'connected' : 'disconnected', peer });
  }

  /** Time passes; what is due happens. */
  wait(ms: number): void {
    this.#now += ms;
    while (this.state.timerAt <= this.#now) this.#feed({ type: 'timer' });
  }

  /** Good managers come and do all that is left: every task must be answered. */
  finish(): void {
    for (let round = 0; this.state.tasks.size > 0; round++) {
      assert.ok(round < 100, `${this.state.tasks.size} tasks hang`);
      const runtimes = [...this.state.lanes.keys()];
      const peer = `finisher${round}`;
      this.#feed({
        type: 'registration',
        peer,
        style: 'one-port',
        registration: registration({ runtimes, maxCapacity: 1e6 }),
      });
      for (const manager of [...this.state.managers.values()]) {
        for (const taskId of manager.taskIds()) this.#finish(manager.peer, taskId);
      }
    }
    checkLaw(this.state);
    assert.equal(this.state.counters.received, this.state.counters.answered);
  }

  /** One of the tasks that managers hold gets its result. */
  finishOne(): void {
    for (const manager of this.state.managers.values()) {
      const taskId = manager.firstTask?.id;
      if (taskId === undefined || this.#chance(3) !== 0) continue;
      this.#finish(manager.peer, taskId);
      return;
    }
  }

  #finish(peer: string, taskId: number): void {
    const frame = writeOutcome({ taskId, isException: false, bytes });
    this.pools(peer, [frame], 'single');
  }

  #feed(event: InterchangeEvent): void {
    step(this.state, event, this.#now, this.#effects);
    this.#carryOut();
    if (event.type === 'results') {
      step(this.state, { type: 'refill' }, this.#now, this.#effects);
      this.#carryOut();
    }
    if (wantsTurn(this.state, event)) {
      step(this.state, { type: 'turn' }, this.#now, this.#effects);
      this.#carryOut();
    }
    const { received, queued, leased, answered } = this.state.counters;
    if (received !== queued + leased + answered) checkLaw(this.state);
  }

  #carryOut(): void {
    for (const effect of this.#effects) this.#do(effect);
    this.#effects.length = 0;
  }

  /** As the shell; and every frame must be one that the other side can read. */
  #do(effect: InterchangeEffect): void {
    switch (effect.do) {
      case 'send tasks': {
        const { style, registration: its } = effect.manager;
        const era = eraOfRelease(its.parslVersion);
        const wanted = style === 'two-port' ? 'resource_spec' : era === undefined ? 'context' : envelopeOf(era);
        const pickled = effect.tasks.map(({ id, context, slab, offset, length }) => {
          if (context === undefined || slab === undefined) return { slab, offset, length };
          const body = bodyOfBuffer(id, context, slab.subarray(offset, offset + length));
          return { slab: body, offset: 0, length: body.length };
        });
        const batch = writeTaskBatch(pickled, translation('context', wanted));
        for (const task of effect.tasks) task.letGo();
        const read = readInterchangeMessage(style === 'two-port' ? [new Uint8Array(0), batch] : [batch]);
        assert.ok(read.ok && read.value.type === 'tasks', 'a batch that no pool can read');
        const tasks = readTaskBatch(read.value.value);
        assert.ok(tasks.ok && tasks.value.length === effect.tasks.length, 'a batch with unreadable tasks');
        return;
      }
      case 'forward':
        for (const frame of effect.frames) {
          const results = isResultBatch(frame) ? readResults(frame) : undefined;
          if (results !== undefined) assert.ok(results.ok, 'a batch of results that no submitter can read');
          for (const item of results?.ok ? splitBatch(results.value) : [frame]) this.#answer(item);
        }
        return;
      case 'fail': {
        const { failure } = effect;
        const told =
          failure.kind === 'manager lost'
            ? { ...failure, manager: identityBytes(failure.manager), at: failure.at / 1_000 }
            : failure.kind === 'version mismatch'
              ? failure
              : ({ kind: 'message', text: JSON.stringify(failure) } as const);
        this.#answer(writeFailure(effect.taskId, told));
        return;
      }
      case 'reply':
        assert.ok(readInterchangeMessage(writeInterchangeWord({ type: effect.what }, effect.style)).ok);
        return;
      case 'explain refusal': {
        const word = { type: 'refusal', reason: effect.reason } as const;
        assert.ok(readInterchangeMessage(writeInterchangeWord(word, 'one-port')).ok);
        return;
      }
      case 'cancel task':
        writeInterchangeWord({ type: 'cancel', taskIds: [effect.taskId] }, effect.manager.style);
        return;
      case 'send code': {
        const word = { type: 'code', name: effect.name, bytes: effect.bytes } as const;
        assert.ok(readInterchangeMessage(writeInterchangeWord(word, 'one-port')).ok, 'code that no pool can read');
        return;
      }
      case 'answer':
        assert.ok(decode(writeReply(effect.reply, { single: 1, pair: undefined })).ok, 'an answer nobody can read');
        return;
      case 'show status': {
        const read = decode(encode(statusDict(effect.report)));
        assert.ok(read.ok && readStatus(read.value).ok);
        return;
      }
      case 'record manager': {
        const { registration: its, isActive, isDraining, heardAt, idleSince } = effect.manager;
        const taskIds = effect.manager.taskIds().slice(0, 100);
        const info = {
          runId: '',
          registration: its,
          taskIds,
          isActive,
          isDraining,
          heardAt,
          idleSince,
          at: effect.now,
        };
        assert.ok(decode(writeNodeInfo(info)).ok, 'a monitoring record nobody can read');
        return;
      }
      case 'relay monitoring':
        // Whether its payload has sense is between pool and monitoring; but it must be one pickle.
        assert.ok(decode(effect.frame).ok, 'a monitoring payload nobody can read');
        return;
      case 'log':
      case 'timer':
      case 'end':
        return;
      default:
        effect satisfies never;
    }
  }

  /** Parsl's submitter ends on a second answer to one id and on answers it cannot read. */
  #answer(frame: Uint8Array): void {
    const answer = readAnswer(frame);
    assert.ok(answer.ok, `an answer that no submitter can read: ${answer.ok ? '' : answer.error}`);
    const { type, taskId } = answer.value;
    if (type === 'note') return;
    assert.ok(!this.#answered.has(taskId), `task ${taskId} is answered twice`);
    this.#answered.add(taskId);
  }
}
