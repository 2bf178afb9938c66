// A whole run in virtual time: a submitter, managers that die, fall silent, repeat themselves, drain, come back under
// old names or with wrong versions, and the real core between them. Everything follows from one seed.
import assert from 'node:assert/strict';
import { Heap } from '#src/base/heap.js';
import { checkLaw, createInterchange, type InterchangeState, step, wantsTurn } from '#src/interchange/core.js';
import type { InterchangeEffect, InterchangeEvent } from '#src/interchange/events.js';
import { emptyBody, outcome, registration, seeded, sure } from './builders.ts';

export interface SimulationOptions {
  readonly seed: number;
  readonly managers: number;
  readonly tasks: number;
  /** Check all tables every so many steps; the counters are checked after each. */
  readonly fullCheckEvery: number;
  readonly selector: 'random' | 'block-id';
}

interface Node {
  readonly peer: string;
  readonly capacity: number;
  readonly runtimes: readonly string[];
  readonly started: number;
  /** Every task ever sent to it. */
  readonly given: Set<number>;
  held: Set<number>;
  isAlive: boolean;
  /** What it sends arrives no earlier than this: links keep their order, and may be cut for a while. */
  linkFreeAt: number;
}

/** Runs to the end and checks that every task was answered exactly once. Gives a digest of all that was done. */
export function simulate(options: SimulationOptions): { digest: number; state: InterchangeState; steps: number } {
  const random = seeded(options.seed);
  const pick = (most: number): number => Math.floor(random() * most);
  const hbMs = 30_000;
  const state = createInterchange({
    heartbeatThresholdMs: 120_000,
    disconnectGraceMs: 10_000,
    selector: options.selector,
    random,
    isMonitored: options.seed % 2 === 0,
    versions: { onMismatch: 'refuse', parsl: '2026.07.27', python: '3.11.7' },
    submitEras: ['H'],
    logLevel: 'warning',
  });
  let now = 1_000_000;
  let serial = 0;
  const agenda = new Heap<{ at: number; serial: number; act: () => void }>((a, b) =>
    a.at === b.at ? a.serial < b.serial : a.at < b.at,
  );
  const at = (when: number, act: () => void): void => agenda.push({ at: when, serial: serial++, act });
  const nodes = new Map<string, Node>();
  const answers = new Map<number, number>();
  const submitted = new Set<number>();
  let digest = 0;
  let steps = 0;
  let timer = 0;
  let isRefillDue = false;
  let isTurnDue = false;

  const note = (text: string): void => {
    for (let place = 0; place < text.length; place++) digest = (Math.imul(digest, 31) + text.charCodeAt(place)) | 0;
  };
  const answer = (taskId: number): void => {
    const times = (answers.get(taskId) ?? 0) + 1;
    answers.set(taskId, times);
    assert.equal(times, 1, `task ${taskId} was answered twice`);
    sure(submitted.has(taskId), `task ${taskId} was answered and never submitted`);
  };

  const feed = (event: InterchangeEvent): void => {
    const effects: InterchangeEffect[] = [];
    step(state, event, now, effects);
    checkCounters(state);
    isRefillDue ||= event.type === 'results';
    isTurnDue ||= wantsTurn(state, event);
    // Now and then more comes in the same read, or in the same turn.
    if (random() < 0.8 || event.type === 'timer') endRead(effects);
    if (random() < 0.8 || event.type === 'timer') endTurn(effects);
    if (++steps % options.fullCheckEvery === 0) checkLaw(state);
    for (const effect of effects) carryOut(effect);
  };

  const endRead = (effects: InterchangeEffect[]): void => {
    if (!isRefillDue) return;
    isRefillDue = false;
    step(state, { type: 'refill' }, now, effects);
    checkCounters(state);
  };

  const endTurn = (effects: InterchangeEffect[]): void => {
    endRead(effects);
    if (!isTurnDue) return;
    isTurnDue = false;
    step(state, { type: 'turn' }, now, effects);
    checkCounters(state);
  };

  const carryOut = (effect: InterchangeEffect): void => {
    note(effect.do);
    switch (effect.do) {
      case 'send tasks': {
        const ids = effect.tasks.map((task) => task.id);
        note(`${effect.manager.peer} ${ids.join()}`);
        for (const task of effect.tasks) {
          sure(effect.manager.registration.runtimes.includes(task.lane.runtime));
          task.letGo();
        }
        const node = nodes.get(effect.manager.peer);
        // What was on its way to a process that ended does not reach its successor.
        if (node?.started !== effect.manager.registration.startTime) return;
        for (const id of ids) node.given.add(id);
        at(now + 1 + pick(20), () => receive(node, ids));
        return;
      }
      case 'forward':
        for (const frame of effect.frames) answer(Number(new TextDecoder().decode(frame).split(' ')[1]));
        return;
      case 'fail':
        answer(effect.taskId);
        return;
      case 'timer': {
        const mine = ++timer;
        at(effect.at, () => {
          if (mine === timer) feed({ type: 'timer' });
        });
        return;
      }
      case 'reply': {
        const node = nodes.get(effect.peer);
        if (effect.what === 'drained' && node) node.isAlive = false;
        return;
      }
      default:
        return;
    }
  };

  /** What a node sends arrives after everything it sent before. */
  const send = (node: Node, event: InterchangeEvent): void => {
    const arrival = Math.max(now + 1 + pick(20), node.linkFreeAt);
    node.linkFreeAt = arrival;
    at(arrival, () => feed(event));
  };

  const receive = (node: Node, ids: readonly number[]): void => {
    if (!node.isAlive) return;
    for (const id of ids) {
      node.held.add(id);
      at(now + 10 + pick(20_000), () => finish(node, id));
    }
    sure(node.held.size <= node.capacity, `${node.peer} was given more than it can take`);
  };

  const finish = (node: Node, id: number): void => {
    if (!node.isAlive || !node.held.delete(id)) return;
    const luck = random();
    if (luck < 0.01) {
      const broken = { kind: 'unreadable', taskId: id, reason: 'no result' } as const;
      send(node, { type: 'results', peer: node.peer, items: [broken] });
      return;
    }
    const items = [outcome(id)];
    if (luck < 0.05) {
      const other = pick(options.tasks);
      items.push(outcome(id), outcome(-1), ...(node.given.has(other) ? [] : [outcome(other)]));
    }
    send(node, { type: 'results', peer: node.peer, items });
    if (luck > 0.97) send(node, { type: 'results', peer: node.peer, items });
  };

  const start = (peer: string, isImmortal: boolean): void => {
    const capacity = isImmortal ? 1 + pick(3) : pick(9);
    const luck = isImmortal ? 1 : random();
    const runtimes = isImmortal || luck > 0.9 ? ['python', 'node'] : luck < 0.3 ? ['node'] : ['python'];
    const started = serial++;
    const node: Node = {
      peer,
      capacity,
      runtimes,
      started,
      given: new Set(),
      held: new Set(),
      isAlive: true,
      linkFreeAt: 0,
    };
    nodes.set(peer, node);
    send(node, { type: 'probe', peer });
    const pythonVersion = luck > 0.31 && luck < 0.35 ? '3.12.0' : '3.11.9';
    send(node, {
      type: 'registration',
      peer,
      style: 'one-port',
      registration: registration({
        blockId: String(pick(30)),
        startTime: started,
        maxCapacity: capacity,
        runtimes,
        pythonVersion,
      }),
    });
    const beat = (): void => {
      if (!node.isAlive || nodes.get(peer) !== node || answers.size === options.tasks) return;
      send(node, { type: 'heartbeat', peer });
      at(now + hbMs, beat);
    };
    at(now + hbMs, beat);
    if (isImmortal) return;
    const life = pick(600_000);
    const end = random();
    at(now + life, () => {
      if (!node.isAlive) return;
      if (end < 0.2) {
        // Killed; the connection breaks with it.
        node.isAlive = false;
        at(now + 1, () => feed({ type: 'disconnected', peer }));
      } else if (end < 0.4) {
        node.isAlive = false; // The machine is gone, and nobody says so.
      } else if (end < 0.6) {
        send(node, { type: 'drain', peer });
      } else if (end < 0.8) {
        node.linkFreeAt = now + pick(400_000); // Cut off for a while: what it says then is late.
      } else {
        node.isAlive = false;
        start(peer, false); // A new process under the same name.
      }
    });
  };

  for (let at0 = 0; at0 < 3; at0++) start(`immortal${at0}`, true);
  for (let number = 0; number < options.managers; number++) {
    at(now + pick(300_000), () => start(`m${number}`, false));
  }
  for (let taskId = 0; taskId < options.tasks; taskId++) {
    at(now + pick(10) * 50_000 + pick(3_000), () => {
      submitted.add(taskId);
      const priority = random() < 0.3 ? pick(5) : undefined;
      const runtime = random() < 0.3 ? 'node' : undefined;
      if (random() < 0.01) feed({ type: 'unreadable task', taskId, reason: 'no buffer' });
      else feed({ type: 'task', taskId, priority, runtime, ...emptyBody });
      if (random() < 0.02) {
        feed({ type: 'command', token: taskId, command: { name: 'cancel', taskIds: [pick(options.tasks)] } });
      }
    });
  }
  for (let next = agenda.pop(); next !== undefined; next = agenda.pop()) {
    now = next.at;
    next.act();
    if (agenda.size > 0) continue;
    const effects: InterchangeEffect[] = [];
    endTurn(effects);
    for (const effect of effects) carryOut(effect);
  }
  checkLaw(state);
  assert.equal(answers.size, options.tasks, 'every task is answered');
  assert.equal(state.tasks.size, 0);
  return { digest, state, steps };
}

function checkCounters(state: InterchangeState): void {
  const { received, queued, leased, answered } = state.counters;
  assert.equal(received, queued + leased + answered);
  assert.equal(state.tasks.size, queued + leased);
}
