// The whole interchange process between a submitter and a pool without workers: CPU time a task, while idle, and how
// long it outlives its submitter.
//   node --import tsx bench/interchange.ts [tasks] [pools] [capacity]
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  readInterchangeMessage,
  readTaskBatch,
  resultHeader,
  writeCommand,
  writeManagerMessage,
  writeOutcome,
  writeTask,
} from '#src/wire/messages.js';
import { decode } from '#src/wire/pickle.js';
import { createSocket } from '#src/wire/zmtp/socket.js';

const total = Number(process.argv[2] ?? 200_000);
const pools = Number(process.argv[3] ?? 4);
const capacity = Number(process.argv[4] ?? 100);
const program = fileURLToPath(new URL('../dist/interchange/start.js', import.meta.url));
const logdir = mkdtempSync(join(tmpdir(), 'chervil-bench-'));
const buffer = Buffer.alloc(150, 7);
const context = new Map();

/** User and system time of a process, in microseconds; Linux counts in hundredths of a second. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

for (const level of [20, 10]) {
  let answered = 0;
  let done = (): void => {};
  const tasks = createSocket({ type: 'dealer', highWaterMark: 0, lingerMs: 0 });
  const results = createSocket({
    type: 'dealer',
    highWaterMark: 0,
    lingerMs: 0,
    onMessage: (frames) => {
      answered += frames.length;
      if (answered >= total) done();
    },
  });
  const command = createSocket({ type: 'req', lingerMs: 0 });
  const ports: number[] = [];
  for (const socket of [tasks, results, command]) {
    ports.push(Number((await socket.bind('tcp://127.0.0.1:*')).split(':').pop()));
  }
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'inherit', 'inherit'] });
  const exited = new Promise((resolve) => child.on('exit', resolve));
  const config = {
    client_address: '127.0.0.1',
    client_ports: ports,
    interchange_address: '127.0.0.1',
    worker_port: null,
  };
  child.stdin.end(JSON.stringify({ ...config, logdir, logging_level: level, log_config: null }));
  const [reply] = await command.request([writeCommand({ name: 'worker binds' })], { timeoutMs: 20_000 });
  const port = decode(reply as Buffer);
  if (!port.ok || child.pid === undefined) throw new Error('no interchange');
  const sockets = Array.from({ length: pools }, (_, at) => {
    const pool = createSocket({
      type: 'dealer',
      identity: `pool-${at}`,
      highWaterMark: 0,
      lingerMs: 0,
      onMessage: (frames) => {
        const read = readInterchangeMessage(frames);
        if (!read.ok || read.value.type !== 'tasks') return;
        const batch = readTaskBatch(read.value.value);
        if (!batch.ok) return;
        for (const { taskId } of batch.value) {
          const outcome = { taskId: Number(taskId), isException: false, bytes: Buffer.from('02\nN.') };
          pool.send([resultHeader(), writeOutcome(outcome)]);
        }
      },
    });
    pool.connect(`tcp://127.0.0.1:${Number(port.value)}`);
    const registration = {
      parslVersion: 'x',
      pythonVersion: '3.11.7',
      packages: undefined,
      workerCount: capacity,
      uid: `pool-${at}`,
      blockId: '0',
      startTime: 0,
      prefetchCapacity: 0,
      maxCapacity: capacity,
      os: 'Linux',
      hostname: 'here',
      dir: '/',
      cpuCount: 1,
      totalMemory: 1,
      runtimes: ['python'],
      extensions: [],
    };
    pool.send([writeManagerMessage({ type: 'registration', registration })]);
    return pool;
  });
  const flow = (from: number, to: number): Promise<void> =>
    new Promise((resolve) => {
      done = resolve;
      for (let taskId = from; taskId < to; taskId++) tasks.send([writeTask({ taskId, buffer, context })]);
    });
  const half = Math.floor(total / 2);
  const warm = flow(0, half);
  const timer = setInterval(() => answered >= half && done(), 5);
  await warm;
  clearInterval(timer);
  const before = cpuOf(child.pid);
  const started = performance.now();
  await flow(half, total);
  const seconds = (performance.now() - started) / 1_000;
  const used = cpuOf(child.pid) - before;
  const rate = Math.round((total - half) / seconds);
  console.log(`log level ${level}: ${(used / (total - half)).toFixed(2)} us CPU a task, ${rate} tasks/s`);
  const idleBefore = cpuOf(child.pid);
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  console.log(`idle for 3 s: ${cpuOf(child.pid) - idleBefore} us CPU`);
  const gone = performance.now();
  for (const socket of [tasks, results, command]) void socket.close({ lingerMs: 0 });
  await exited;
  console.log(`outlived its submitter by ${Math.round(performance.now() - gone)} ms`);
  for (const pool of sockets) await pool.close({ lingerMs: 0 });
}
rmSync(logdir, { recursive: true, force: true });
