// CPU time and memory a task costs in the interchange: messages read, decided on and written, without sockets.
//   node --expose-gc --import tsx bench/interchange-core.ts [tasks] [queued]
import { createInterchange, step } from '#src/interchange/core.js';
import type { InterchangeEffect, InterchangeSettings } from '#src/interchange/events.js';
import { openLog } from '#src/interchange/log.js';
import {
  type Registration,
  readManagerMessage,
  readTask,
  resultHeader,
  writeManagerMessage,
  writeOutcome,
  writeTask,
  writeTaskBatch,
} from '#src/wire/messages.js';

const total = Number(process.argv[2] ?? 400_000);
const queued = Number(process.argv[3] ?? 1_000_000);
const log = openLog({ kind: 'file', level: 10 }, '/tmp/chervil-bench');
const buffer = Buffer.alloc(150, 7);
const context = new Map();
const registration = (at: number): Registration => ({
  parslVersion: '2026.07.27',
  pythonVersion: '3.11.7',
  packages: new Map(Array.from({ length: 300 }, (_, n) => [`package-${n}`, `1.${n}`])),
  workerCount: 100,
  uid: `m${at}`,
  blockId: String(at % 10),
  startTime: 0,
  prefetchCapacity: 0,
  maxCapacity: 100,
  os: 'Linux',
  hostname: `node${at}`,
  dir: '/',
  cpuCount: 64,
  totalMemory: 2 ** 36,
  runtimes: ['python'],
  extensions: [],
});

function start(logLevel: 'debug' | 'info', isMonitored = false) {
  const settings: InterchangeSettings = {
    heartbeatThresholdMs: 120_000,
    selector: 'random',
    random: Math.random,
    versions: { onMismatch: 'accept' },
    logLevel,
    isMonitored,
  };
  return createInterchange(settings);
}

/** `perTurn` tasks come in each turn of the loop, and their results in the next, one message each. */
function run(tasks: number, managers: number, perTurn: number, logLevel: 'debug' | 'info'): number {
  const state = start(logLevel);
  const effects: InterchangeEffect[] = [];
  for (let at = 0; at < managers; at++) {
    const frame = writeManagerMessage({ type: 'registration', registration: registration(at) });
    const read = readManagerMessage([frame]);
    if (!read.ok || read.value.type !== 'registration') throw new Error('registration');
    step(
      state,
      { type: 'registration', peer: `m${at}`, style: 'one-port', registration: read.value.registration },
      1,
      effects,
    );
  }
  const frames = Array.from({ length: tasks }, (_, taskId) => writeTask({ taskId, buffer, context }));
  const results = Array.from({ length: tasks }, (_, taskId) =>
    writeOutcome({ taskId, isException: false, bytes: Buffer.from('02\nN.') }),
  );
  let bytes = 0;
  let waiting: { peer: string; id: number }[] = [];
  const before = process.cpuUsage();
  for (let next = 0; next < tasks || waiting.length > 0; ) {
    const due = waiting;
    waiting = [];
    for (const { peer, id } of due) {
      const message = readManagerMessage([resultHeader(), results[id] as Uint8Array]);
      if (message.ok && message.value.type === 'result') {
        step(state, { type: 'results', peer, items: message.value.items }, 2, effects);
      }
    }
    for (let count = 0; count < perTurn && next < tasks; count++, next++) {
      const task = readTask(frames[next] as Uint8Array);
      if (task.ok) {
        step(state, { type: 'task', ...task.value }, 2, effects);
      }
    }
    step(state, { type: 'turn' }, 2, effects);
    for (const effect of effects) {
      if (effect.do === 'send tasks') {
        bytes += writeTaskBatch(effect.tasks).length;
        for (const task of effect.tasks) {
          task.letGo();
          waiting.push({ peer: effect.manager.peer, id: task.id });
        }
      } else if (effect.do === 'log') log.write(effect.level, effect.text);
    }
    effects.length = 0;
  }
  const used = process.cpuUsage(before);
  if (state.counters.results !== tasks || bytes === 0) throw new Error('tasks were lost');
  return (used.user + used.system) / tasks;
}

for (const [managers, perTurn, level] of [
  [1, 1, 'debug'],
  [10, 100, 'info'],
  [10, 100, 'debug'],
  [100, 1_000, 'debug'],
] as const) {
  run(50_000, managers, perTurn, level);
  const costs = [1, 2, 3].map(() => run(total, managers, perTurn, level)).sort((a, b) => a - b);
  console.log(`${managers} managers, ${perTurn} tasks a turn, log ${level}: ${costs[1]?.toFixed(2)} us CPU a task`);
}

const collect = (globalThis as { gc?: () => void }).gc;
if (collect !== undefined) {
  const memory = (): number => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const state = start('info');
  const effects: InterchangeEffect[] = [];
  const before = memory();
  let payload = 0;
  for (let taskId = 1; taskId <= queued; taskId++) {
    const frame = writeTask({ taskId, buffer, context });
    payload += frame.length;
    const task = readTask(frame);
    if (task.ok) step(state, { type: 'task', ...task.value }, 1, effects);
  }
  const each = (memory() - before - payload) / queued;
  console.log(`${queued} queued tasks: payload + ${each.toFixed(0)} bytes each`);
  const empty = memory();
  for (let at = 0; at < 2_000; at++) {
    step(
      state,
      {
        type: 'registration',
        peer: `m${at}`,
        style: 'one-port',
        registration: { ...registration(at), maxCapacity: 0 },
      },
      1,
      effects,
    );
  }
  effects.length = 0;
  console.log(`2000 idle managers: ${((memory() - empty) / 2_000).toFixed(0)} bytes each`);
  if (state.tasks.size !== queued) throw new Error('tasks were lost');
}
log.close();
