// `chervil worker-pool`: one pool of workers on one node. Reads its arguments, starts its workers, finds the interchange, and runs until
// there is nothing left for it, nobody to work for, or a signal. The command line calls `workerPool`; start.ts is a program of its own.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../base/directory.ts';
import { LogFile } from '../base/log-file.ts';
import type { Result } from '../base/result.ts';
import type { Runtime } from '../task/ports.ts';
import { removeIfOrphaned, removeOrphans } from '../wire/value-directory.ts';
import {
  curveClient,
  type DealerSocket,
  type Mechanism,
  nullMechanism,
  readCertificates,
} from '../wire/zmtp/socket.ts';
import { type PoolArguments, readPoolArguments, usage } from './arguments.ts';
import { connectToInterchange } from './connect.ts';
import { type NvidiaDevices, nvidiaDevices } from './nvidia.ts';
import { findPython, type PythonFacts } from './python.ts';
import { availableCores, coresOfWorkers, nodeResources, workerCount } from './resources.ts';
import { type Home, Pool } from './shell.ts';

/** Runs the command with these arguments; resolves with the exit status: 0 after a normal end, 1 after trouble, 2 for wrong arguments. */
export async function workerPool(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  const read = readPoolArguments(argv);
  if (!read.ok) {
    process.stderr.write(`chervil worker-pool: ${read.error}\n${usage}\n`);
    return 2;
  }
  try {
    return await run(read.value);
  } catch (error) {
    process.stderr.write(`chervil worker-pool: ${(error as Error).message}\n`);
    return 1;
  }
}

/** How a pool ended. */
interface End {
  readonly exitCode: number;
  readonly reason: string;
}

/** One pool for each language: managers of their own to the interchange, so that neither keeps the other's workers idle. */
async function run(given: PoolArguments): Promise<number> {
  const counts = { node: countOf(given, given.nodeWorkers), python: countOf(given, given.python?.maxWorkers ?? 0) };
  const runtimes = (['node', 'python'] as const).filter((runtime) => counts[runtime] > 0);
  if (runtimes.length === 0)
    throw new Error(
      `This node has no room for a worker: ${JSON.stringify(nodeResources())}, and each needs ${given.coresPerWorker} cores and ${given.memoryPerWorker ?? 'any'} GB.`,
    );
  removeOrphans();
  const mechanism = await mechanismOf(given.certDir);
  const named = given.python === undefined ? undefined : findPython(given.python.interpreter);
  const devices = given.accelerators.length > 1 ? await nvidiaDevices() : { count: 0 };
  const services: PoolService[] = [];
  for (const runtime of runtimes) {
    const uid = runtimes.length > 1 && runtime === 'python' ? `${given.uid}-python` : given.uid;
    const sibling = (): Pool | undefined => services.find((one) => one.runtime !== runtime)?.pool;
    services.push(new PoolService({ ...given, uid }, runtime, counts[runtime], mechanism, named, devices, sibling));
  }
  const onSignal = (signal: string): void => {
    for (const { pool } of services) pool.feed({ type: 'stop', reason: `signal ${signal}` });
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, onSignal);
  const ends = await Promise.all(
    services.map(async (service) => {
      const end = await service.run();
      // What one cannot do is told at once: half a pool would let tasks wait for the other half.
      if (end.exitCode !== 0)
        for (const { pool } of services) pool.feed({ type: 'stop', reason: 'the other workers of this node failed' });
      return end;
    }),
  );
  const { exitCode, reason } = ends.find((end) => end.exitCode !== 0) ?? (ends[0] as End);
  if (given.values !== undefined) removeIfOrphaned(given.values);
  process.stderr.write(`chervil worker-pool ended: ${reason}\n`);
  return exitCode;
}

/** Workers of one language, as many as there is room for. */
function countOf(given: PoolArguments, maxWorkers: number): number {
  return Math.max(0, workerCount(nodeResources(), { ...given, maxWorkers }));
}

/** One pool with its connection to the interchange. */
class PoolService {
  readonly pool: Pool;
  readonly runtime: Runtime;
  readonly #given: PoolArguments;
  readonly #mechanism: Mechanism;
  readonly #named: Promise<Result<PythonFacts>> | undefined;
  readonly #log: LogFile;
  readonly #stopping = new AbortController();
  readonly #ended: Promise<void>;
  #end: End | undefined;

  constructor(
    given: PoolArguments,
    runtime: Runtime,
    count: number,
    mechanism: Mechanism,
    named: Promise<Result<PythonFacts>> | undefined,
    devices: NvidiaDevices,
    sibling: () => Pool | undefined,
  ) {
    this.runtime = runtime;
    this.#given = given;
    this.#mechanism = mechanism;
    this.#named = named;
    const directory = join(given.logDir, `block-${given.blockId}`, given.uid);
    makeDirectory(directory);
    this.#log = new LogFile(join(directory, 'manager.log'));
    if (devices.problem !== undefined)
      this.#log.write(
        `${new Date().toISOString()} warning Workers get the accelerators by their names, none shared: ${devices.problem}\n`,
      );
    let onEnded: () => void = () => {};
    this.#ended = new Promise<void>((resolve) => {
      onEnded = resolve;
    });
    this.pool = new Pool({
      arguments: given,
      directory,
      runtime,
      sibling,
      workerCount: count,
      cores: coresOfWorkers(given.affinity, availableCores(), count),
      devices: devices.count,
      log: this.#log,
      version: ownVersion(),
      onEnd: (exitCode, reason) => {
        this.#end ??= { exitCode, reason };
        this.#stopping.abort(reason);
        onEnded();
      },
    });
    if (runtime === 'python')
      void named?.then((python) => {
        const problem = python.ok ? tooOld(python.value) : python.error;
        if (problem !== undefined) this.pool.feed({ type: 'misfit', reason: problem });
      });
  }

  /** Runs until there is nothing left for it, and tells how it ended. */
  async run(): Promise<End> {
    const { addresses, port, uid, probeTimeoutMs } = this.#given;
    let socket: DealerSocket | undefined;
    let home: Promise<Result<Home>> | undefined;
    try {
      await connectToInterchange({
        addresses,
        port,
        uid,
        mechanism: this.#mechanism,
        timeoutMs: probeTimeoutMs,
        signal: this.#stopping.signal,
        onFound: (found, isChervil) => {
          socket = found;
          // Only those who run Python have to do with its versions where the interchange is Chervil's.
          home ??= homeOf(isChervil, isChervil && this.runtime === 'node' ? undefined : this.#named);
          void home.then((known) => {
            if (known.ok) this.pool.connected(found, known.value);
            else this.pool.feed({ type: 'misfit', reason: known.error });
          });
        },
        onMessage: (frames) => this.pool.onMessage(frames),
        onLost: (failure) => this.pool.disconnected(failure),
      });
      await this.#ended;
    } catch (error) {
      this.#end ??= { exitCode: 1, reason: (error as Error).message };
    } finally {
      // Results that are on their way must not wait for the workers.
      await Promise.all([socket?.close({ lingerMs: 500 }), this.pool.close()]);
      this.#log.close();
    }
    return this.#end ?? { exitCode: 0, reason: '' };
  }
}

function tooOld({ command, version }: PythonFacts): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 3 || (major === 3 && minor >= 8)) return undefined;
  return `${command} is Python ${version}, and Python workers need 3.8 or later. Name another one with --python.`;
}

/** What the pool must know before it registers. An interchange of Parsl's ends its run when a manager with other versions comes. */
async function homeOf(isChervil: boolean, named: Promise<Result<PythonFacts>> | undefined): Promise<Result<Home>> {
  if (isChervil && named === undefined) return { ok: true, value: { isChervil } };
  const python = await (named ?? findPython(undefined));
  if (!python.ok) return python;
  if (isChervil) return { ok: true, value: { isChervil, python: python.value } };
  const { command, version, parsl } = python.value;
  if (parsl !== undefined) return { ok: true, value: { isChervil, python: python.value } };
  return {
    ok: false,
    error: `the interchange is Parsl's, and ends its run when a manager without its version of Parsl comes. ${command} (Python ${version}) has no Parsl; name the interpreter of the interchange with --python.`,
  };
}

async function mechanismOf(certDir: string | undefined) {
  if (certDir === undefined) return nullMechanism;
  const { client, server } = await readCertificates(certDir);
  return curveClient({ publicKey: client.publicKey, secretKey: client.secretKey, serverKey: server.publicKey });
}

function ownVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return manifest.version;
}
