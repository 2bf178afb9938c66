// What stands around an interchange in a bench: a submitter and pools without workers. Where there is a C compiler they are a
// program that never sleeps and costs next to nothing, so that the interchange is what everything waits for. Elsewhere they are
// those of the tests, which cost about as much as an interchange does.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { writeManagerMessage, writeOutcome, writeTask } from '#src/wire/messages.js';
import { encodeFrame } from '#src/wire/zmtp/frames.js';
import { Handshake } from '#src/wire/zmtp/handshake.js';
import { defaultLimits } from '#src/wire/zmtp/limits.js';
import { nullMechanism } from '#src/wire/zmtp/socket.js';
import { registration } from '../test/interchange/builders.ts';
import { FakePool, InterchangeRun, type RunOptions } from '../test/support/interchange-run.ts';
import { compiled } from './compile.ts';

/** An interchange with all that it needs to have something to do. */
export interface Around extends AsyncDisposable {
  readonly run: InterchangeRun;
  /** Sends tasks, in waves of 5,000, and waits for their results. */
  flow(tasks: number): Promise<void>;
}

export interface AroundOptions extends Omit<RunOptions, 'onResults' | 'submitter'> {
  readonly pools: number;
  /** Tasks that a pool may hold. */
  readonly capacity: number;
  /** `node`: the submitter and the pools of the tests in any case. @default 'lean' */
  readonly kind?: 'lean' | 'node';
}

const buffer = Buffer.alloc(150, 7);
const context = new Map();
/** Four bytes wherever the id stands in a pickle, and in no other place. */
const marker = 0x12345678;
const newest = { parslVersion: '2026.10.26' };

export async function startAround(options: AroundOptions): Promise<Around> {
  const program = options.kind === 'node' ? undefined : compiled('around');
  if (program !== undefined) return startLean(program, options);
  if (options.kind !== 'node')
    console.log('Without a C compiler on Linux: pools in Node.js, for which an interchange may have to wait.');
  return startInNode(options);
}

async function startInNode({ pools: count, capacity, ...options }: AroundOptions): Promise<Around> {
  let answered = 0;
  let wanted = Number.POSITIVE_INFINITY;
  let tell = (): void => {};
  const onResults = (frames: readonly Buffer[]): void => {
    answered += frames.length;
    if (answered >= wanted) tell();
  };
  const run = await InterchangeRun.start({ ...options, onResults });
  const finishAll = (ids: number[], pool: FakePool): void => {
    for (const id of ids) pool.finish(id);
  };
  const pools = Array.from({ length: count }, (_, at) => new FakePool(run.port, `pool-${at}`, finishAll));
  for (const pool of pools) pool.register(capacity, newest).beat(30_000);
  let sent = 0;
  return {
    run,
    flow: async (tasks) => {
      for (const end = sent + tasks; sent < end; ) {
        const most = Math.min(end, sent + 5_000);
        for (; sent < most; sent++) run.tasks.send([writeTask({ taskId: sent, buffer, context })]);
        await new Promise<void>((resolve) => {
          wanted = most;
          tell = resolve;
          if (answered >= most) resolve();
        });
      }
    },
    [Symbol.asyncDispose]: async () => {
      for (const pool of pools) await pool.close();
      await run[Symbol.asyncDispose]();
    },
  };
}

async function startLean(program: string, { pools, capacity, ...options }: AroundOptions): Promise<Around> {
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = new Promise((resolve) => child.once('close', resolve));
  const end = async (): Promise<void> => {
    child.kill('SIGKILL');
    await closed;
  };
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error('what stands around the interchange has ended');
    return value;
  };
  const [tasks = 0, results = 0] = (await next()).split(' ').map(Number);
  let run: InterchangeRun;
  try {
    run = await InterchangeRun.start({ ...options, submitter: [tasks, results], onResults: () => {} });
  } catch (error) {
    await end();
    throw error;
  }
  const task = encodeFrame(0, writeTask({ taskId: marker, buffer, context }));
  const result = encodeFrame(0, writeOutcome({ taskId: marker, isException: false, bytes: Buffer.from('02\nN.') }));
  const words = Array.from({ length: pools }, (_, at) => poolSays(`pool-${at}`, capacity));
  const greeting = withLength(shakeHands('DEALER', ''));
  child.stdin.write(
    Buffer.concat([number(run.port), greeting, withPlace(task), withPlace(result), number(pools), ...words]),
  );
  return {
    run,
    flow: async (tasks) => {
      child.stdin.write(number(tasks));
      await next();
    },
    [Symbol.asyncDispose]: async () => {
      await run[Symbol.asyncDispose]();
      await end();
    },
  };
}

/** Managers with nothing to do. */
export interface IdleManagers extends AsyncDisposable {
  /** Resolves when each of them has been answered a heartbeat. */
  readonly answered: Promise<void>;
}

/** Lets `count` managers register and send heartbeats, evenly spread, until disposed of; resolves when all have registered. Needs a C compiler. */
export async function startIdleManagers(
  port: number,
  count: number,
  heartbeatMs: number,
  changes: Parameters<typeof registration>[0],
): Promise<IdleManagers> {
  const program = compiled('managers');
  if (program === undefined) throw new Error('There is no C compiler, or this is not Linux');
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<void> => {
    if ((await lines.next()).done) throw new Error('the managers have ended');
  };
  const heartbeat = withLength(encodeFrame(0, writeManagerMessage({ type: 'heartbeat' })));
  const words = Array.from({ length: count }, (_, at) => poolSays(`pool-${at}`, 10, changes));
  // If they end while they are told, that they have ended says more.
  child.stdin.on('error', () => undefined);
  child.stdin.write(Buffer.concat([number(port), number(heartbeatMs), heartbeat, number(count), ...words]));
  await next();
  const answered = next();
  // Disposed of before, there is nobody to hear of it.
  answered.catch(() => undefined);
  return {
    answered,
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await closed;
    },
  };
}

function poolSays(identity: string, capacity: number, changes: Parameters<typeof registration>[0] = newest): Buffer {
  const record = registration({ uid: identity, maxCapacity: capacity, workerCount: capacity, ...changes });
  const message = writeManagerMessage({ type: 'registration', registration: record });
  return Buffer.concat([withLength(shakeHands('DEALER', identity)), withLength(encodeFrame(0, message))]);
}

/** All that a client says in its handshake, whatever the server says. */
function shakeHands(type: 'DEALER', identity: string): Buffer {
  const common = { mechanism: nullMechanism, limits: defaultLimits, familiar: undefined };
  const client = new Handshake({ type, identity: Buffer.from(identity), ...common });
  const server = new Handshake({ type: 'ROUTER', identity: Buffer.alloc(0), ...common });
  const said: Buffer[] = [];
  const greetings = [client.start(), server.start()];
  let [toServer, toClient] = greetings.map((effect) => (effect.do === 'send' ? [effect.bytes] : []));
  while (toServer !== undefined && toClient !== undefined && toServer.length + toClient.length > 0) {
    said.push(...toServer);
    const answers = [client.receive(Buffer.concat(toClient)), server.receive(Buffer.concat(toServer))];
    [toServer, toClient] = answers.map((effects) =>
      effects.flatMap((effect) => (effect.do === 'send' ? [effect.bytes] : [])),
    );
  }
  return Buffer.concat(said);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function withLength(bytes: Buffer): Buffer {
  return Buffer.concat([number(bytes.length), bytes]);
}

function withPlace(frame: Buffer): Buffer {
  const place = Buffer.from([0x78, 0x56, 0x34, 0x12]);
  return Buffer.concat([number(frame.length), number(frame.indexOf(place)), frame]);
}
