// Good and bad frames to damage, by the socket they belong to: what real Parsl said, what kills real Parsl, and what our
// own writers make.

import { entry, ResultGatherer, TaskGatherer } from '#src/wire/messages/batch.js';
import { writeNoteItem } from '#src/wire/messages/item.js';
import { contextFragment } from '#src/wire/messages/task.js';
import {
  resultHeader,
  writeCodeFile,
  writeCommand,
  writeConfig,
  writeFailure,
  writeInterchangeWord,
  writeManagerMessage,
  writeMonitoringItem,
  writeNodeInfo,
  writeOutcome,
  writeReply,
  writeTask,
  writeTaskBatch,
} from '#src/wire/messages.js';
import { writeNote } from '#src/wire/notes.js';
import { encode } from '#src/wire/pickle.js';
import { encodeCommand, encodeMetadata } from '#src/wire/zmtp/commands.js';
import { encodeFrame } from '#src/wire/zmtp/frames.js';
import { encodeGreeting } from '#src/wire/zmtp/greeting.js';
import { registration } from '../interchange/builders.ts';
import { captured, malformed, releases } from '../wire/vectors.ts';

/** Where frames come in: at the interchange, at a submitter, at a pool; as bytes of a connection. */
export const sockets = [
  'tasks',
  'commands',
  'pools',
  'old pools',
  'old results',
  'configuration',
  'results',
  'replies',
  'work',
  'connection',
] as const;
export type SocketName = (typeof sockets)[number];

/** Messages, each a list of frames. */
export type Corpus = Readonly<Record<SocketName, readonly (readonly Uint8Array[])[]>>;

/** Builds the corpus; takes a moment. */
export function corpus(): Corpus {
  const found: Record<SocketName, Uint8Array[][]> = {
    tasks: [],
    commands: [],
    pools: [],
    'old pools': [],
    'old results': [],
    configuration: [],
    results: [],
    replies: [],
    work: [],
    connection: [],
  };
  const add = (socket: SocketName, ...messages: Uint8Array[][]): void => void found[socket].push(...messages);
  for (const release of releases) {
    for (const { channel, from, frames } of captured(release)) {
      const message = frames.filter((frame) => frame.length < 20_000);
      if (message.length !== frames.length) continue;
      if (channel === 'tasks') add('tasks', message);
      else if (channel === 'results') add('results', message);
      else if (channel === 'command') add(from === 'submit' ? 'commands' : 'replies', message);
      else if (channel === 'config' || channel === 'stdin') add('configuration', message);
      else if (from === 'pool' || from === 'manager') {
        add('pools', message);
        add('old pools', message);
        add('old results', message);
      } else add('work', message);
    }
  }
  for (const row of malformed()) {
    const frames = row.frames.map((frame) => frame ?? encode([0, 1, 2]));
    add(row.socket === 'task' ? 'tasks' : row.socket === 'command' ? 'commands' : 'pools', frames);
  }
  own(add);
  return found;
}

function own(add: (socket: SocketName, ...messages: Uint8Array[][]) => void): void {
  const bytes = Buffer.from('02\nN.');
  const spec = new Map([['resource_spec', new Map([['priority', 3]])]]);
  for (const envelope of ['bare', 'resource_spec', 'context'] as const) {
    add('tasks', [writeTask({ taskId: 77, buffer: Buffer.alloc(60, 7), context: new Map() }, envelope)]);
  }
  add('tasks', [writeCodeFile({ name: 'abc.mjs', bytes })]);
  add('tasks', [writeTask({ taskId: 78, buffer: bytes, context: spec })]);
  for (const name of [
    'worker binds',
    'worker ports',
    'outstanding',
    'workers',
    'connected blocks',
    'managers',
    'managers packages',
    'status',
  ] as const) {
    add('commands', [writeCommand({ name })]);
  }
  add('commands', [writeCommand({ name: 'hold manager', manager: 'pool-1' })]);
  add('commands', [writeCommand({ name: 'cancel', taskIds: [1, 2, 3] })]);
  const outcomes = [
    writeOutcome({ taskId: 5, isException: false, bytes }),
    writeOutcome({ taskId: 6, isException: true, bytes }),
  ];
  const results = new ResultGatherer();
  for (const [id, what] of [entry.value, entry.exception, entry.note].entries()) results.add(id + 5, what, bytes);
  const resultBatch = results.take();
  add('pools', [resultHeader(), resultBatch], [resultHeader(), ...outcomes, resultBatch]);
  add('results', [resultBatch]);
  const tasks = new TaskGatherer();
  const context = contextFragment(spec);
  for (const id of [80, 81, 82]) tasks.add(id, context, bytes, 0, bytes.length);
  const taskBatch = tasks.take();
  add('tasks', [taskBatch]);
  add('work', [taskBatch]);
  for (const outcome of outcomes) {
    add('pools', [resultHeader(), outcome], [outcome], [resultHeader(), ...outcomes]);
    add('old results', [outcome]);
    add('results', [outcome], outcomes);
  }
  add('pools', [resultHeader(), writeMonitoringItem('payload')], [writeMonitoringItem(new Map([['a', 1]]))]);
  const note = writeNoteItem({ taskId: 5, bytes: writeNote({ what: 'output', stream: 'stdout', text: 'so far' }) });
  add('pools', [resultHeader(), note], [note], [resultHeader(), note, ...outcomes]);
  add('results', [note], [note, ...outcomes]);
  add('tasks', [writeTask({ taskId: 79, buffer: bytes, context: new Map([['runtime', 'node']]) })]);
  const extended = registration({
    extensions: ['cancel', 'refusal', 'batch', 'welcome', 'capacity'],
    runtimes: ['node', 'python'],
    drainTime: 1.9e9,
  });
  for (const message of [
    { type: 'connection_probe' },
    { type: 'heartbeat' },
    { type: 'drain' },
    { type: 'chervil_status' },
    { type: 'chervil_capacity', capacity: 7 },
    { type: 'chervil_code', name: 'abc.mjs' },
    { type: 'registration', registration: registration() },
    { type: 'registration', registration: extended },
  ] as const) {
    add('pools', [writeManagerMessage(message)]);
    add('old pools', [writeManagerMessage(message, 'two-port')], [writeManagerMessage(message)]);
  }
  for (const word of [
    { type: 'probe' },
    { type: 'heartbeat' },
    { type: 'drained' },
    { type: 'refusal', reason: 'no' },
    { type: 'welcome' },
    { type: 'cancel', taskIds: [4] },
  ] as const) {
    add('work', writeInterchangeWord(word, 'one-port'), writeInterchangeWord(word, 'two-port'));
  }
  const task = writeTask({ taskId: 9, buffer: bytes, context: new Map() });
  // A task's body is its dict without header and STOP.
  const body = task.subarray(2, task.length - 1);
  add('work', [writeTaskBatch([{ slab: body, offset: 0, length: body.length }])]);
  add('results', [writeFailure(4, { kind: 'manager lost', manager: Buffer.from('m'), hostname: 'h', at: 1 })]);
  add('replies', [writeReply({ name: 'texts', values: ['0', '1'] }, { single: 1, pair: undefined })]);
  add('results', [
    writeNodeInfo({
      runId: 'r',
      registration: registration(),
      taskIds: [1],
      isActive: true,
      isDraining: false,
      heardAt: 1,
      idleSince: undefined,
      at: 2,
    }),
  ]);
  add('configuration', [
    writeConfig({
      clientAddress: '127.0.0.1',
      clientPorts: [1, 2, 3],
      interchangeAddress: undefined,
      poolPorts: 'one',
      workerPorts: [],
      workerPortRange: [54_000, 55_000],
      hub: undefined,
      heartbeatThresholdMs: 120_000,
      logdir: '/tmp',
      isDebug: false,
      certDir: undefined,
      selector: 'random',
      unknownSelector: undefined,
      runId: 'r',
      log: { kind: 'file', level: 20 },
      checksVersions: true,
      eras: [],
    }),
  ]);
  const ready = encodeFrame(4, encodeCommand('READY', encodeMetadata('DEALER', Buffer.from('raw'))));
  const ping = encodeFrame(4, encodeCommand('PING', Buffer.from('0010aabb', 'hex')));
  for (const greeting of [encodeGreeting('NULL', false), encodeGreeting('CURVE', false)]) {
    add('connection', [
      Buffer.concat([greeting, ready, encodeFrame(1, Buffer.from('one')), encodeFrame(0, bytes), ping]),
    ]);
    add('connection', [Buffer.concat([greeting, ready, encodeFrame(0, Buffer.alloc(300))])]);
    add('connection', [Buffer.concat([greeting, encodeFrame(4, encodeCommand('HELLO', Buffer.alloc(194, 1)))])]);
    add('connection', [Buffer.concat([greeting, encodeFrame(4, encodeCommand('ERROR', Buffer.from('\x02no')))])]);
  }
}
