// Tasks that wait in slabs that are used again, for pools that read slowly, answer what they have not read, or vanish: each
// task that a pool gets has the bytes that were sent. The interchange runs in this process, so that bytes which nobody holds
// can be overwritten at once.
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { Interchange } from '#src/interchange/shell.js';
import { Slab } from '#src/interchange/task.js';
import {
  readConfigJson,
  readInterchangeMessage,
  readOutcome,
  readTaskBatch,
  writeCommand,
  writeManagerMessage,
  writeOutcome,
  writeTask,
} from '#src/wire/messages.js';
import {
  createCertificates,
  createSocket,
  curveClient,
  type DealerSocket,
  nullMechanism,
  readCertificates,
} from '#src/wire/zmtp/socket.js';
import { randomIntegers, seed } from '../support/random.ts';
import { registration, sure } from './builders.ts';
import { directory } from './processes.ts';

/** Who holds each slab; what nobody holds is overwritten. */
const holders = new Map<Slab, number>();
const { hold, release } = Slab.prototype;
Slab.prototype.hold = function (): void {
  holders.set(this, (holders.get(this) ?? 1) + 1);
  hold.call(this);
};
Slab.prototype.release = function (): void {
  const left = (holders.get(this) ?? 1) - 1;
  assert.ok(left >= 0, 'a slab was released by one who did not hold it');
  holders.set(this, left);
  if (left === 0) this.bytes.fill(0xee);
  release.call(this);
};

const lengths = [0, 5, 60, 900, 8_100, 8_300, 16_200, 16_500];

/** The buffer of the task with this id, when it was sent for the n-th time. */
function bufferOf(id: number, time: number): Buffer {
  const chance = randomIntegers(id * 1_009 + time);
  const text = `${id} ${time} `;
  return Buffer.from(text.repeat(1 + (lengths[chance(lengths.length)] as number) / text.length));
}

/** A pool that reads when it is told to, and checks what it reads. */
class SlowPool {
  readonly socket: DealerSocket;
  readonly held: number[] = [];
  isPaused = false;

  constructor(
    options: object,
    port: number,
    name: string,
    maxCapacity: number,
    check: (id: number, bytes: Buffer) => void,
  ) {
    const onMessage = (frames: Buffer[]): void => {
      const read = readInterchangeMessage(frames);
      sure(read.ok);
      if (read.value.type !== 'tasks') return;
      const batch = readTaskBatch(read.value.value);
      sure(batch.ok, 'a list of tasks that nobody can read');
      for (const { taskId, buffer } of batch.value) {
        check(Number(taskId), Buffer.from(buffer));
        this.held.push(Number(taskId));
      }
    };
    this.socket = createSocket({ type: 'dealer', identity: name, ...options, onMessage });
    this.socket.connect(`tcp://127.0.0.1:${port}`);
    const record = registration({ uid: name, maxCapacity, extensions: ['cancel'] });
    this.socket.send([writeManagerMessage({ type: 'registration', registration: record })]);
  }

  turn(): void {
    this.isPaused = !this.isPaused;
    if (this.isPaused) this.socket.pause();
    else this.socket.resume();
  }

  finish(taskId: number): void {
    this.socket.send([writeOutcome({ taskId, isException: false, bytes: Buffer.from('02\nN.') })]);
  }
}

for (const isEncrypted of [false, true]) {
  const how = isEncrypted ? 'with encryption' : 'without encryption';
  it(`each task has the bytes that were sent, however slowly pools read and whatever they answer, ${how}`, async () => {
    const chance = randomIntegers(seed);
    const place = mkdtempSync(join(directory, 'slow-'));
    const certificates = isEncrypted ? await createCertificates(place) : undefined;
    const keys = certificates && (await readCertificates(certificates));
    const mechanism = keys ? await curveClient({ ...keys.client, serverKey: keys.server.publicKey }) : nullMechanism;
    const options = { mechanism, highWaterMark: 0, lingerMs: 0 };
    /** How often each task was sent, and answered. */
    const sent = new Map<number, number>();
    const answered = new Map<number, number>();
    const open = new Set<number>();
    const tasks = createSocket({ type: 'dealer', ...options });
    const onResult = (frames: readonly Buffer[]): void => {
      for (const frame of frames) {
        const outcome = readOutcome(frame);
        sure(outcome.ok);
        const { taskId } = outcome.value;
        answered.set(taskId, (answered.get(taskId) ?? 0) + 1);
        assert.ok((answered.get(taskId) as number) <= (sent.get(taskId) ?? 0), `task ${taskId} is answered too often`);
        open.delete(taskId);
      }
    };
    const results = createSocket({ type: 'dealer', ...options, onMessage: onResult });
    const command = createSocket({ type: 'req', mechanism, lingerMs: 0 });
    const ports: number[] = [];
    for (const socket of [tasks, results, command]) {
      ports.push(Number((await socket.bind('tcp://127.0.0.1:*')).split(':').pop()));
    }
    const config = readConfigJson(
      JSON.stringify({
        client_address: '127.0.0.1',
        client_ports: ports,
        interchange_address: '127.0.0.1',
        logdir: join(place, 'log'),
        cert_dir: certificates ?? null,
        _check_python_mismatch: false,
      }),
    );
    sure(config.ok, JSON.stringify(config));
    const interchange = await Interchange.start(config.value, {
      onEnd: (reason) => assert.fail(reason),
      endsWithSubmitter: false,
      disconnectGraceMs: 100,
    });
    let checked = 0;
    const check = (id: number, bytes: Buffer): void => {
      checked++;
      const times = Array.from({ length: sent.get(id) ?? 0 }, (_, time) => bufferOf(id, time));
      const shown = `task ${id} came with ${bytes.length} bytes: ${bytes.toString('latin1', 0, 40)}`;
      assert.ok(
        times.some((buffer) => buffer.equals(bytes)),
        shown,
      );
    };
    let started = 0;
    const start = (capacity: number): SlowPool =>
      new SlowPool(options, interchange.ports.single, `pool-${started++}`, capacity, check);
    const send = (taskId: number): void => {
      const time = sent.get(taskId) ?? 0;
      sent.set(taskId, time + 1);
      open.add(taskId);
      const context = chance(5) > 0 ? new Map() : new Map([['resource_spec', new Map([['priority', chance(3)]])]]);
      tasks.send([writeTask({ taskId, buffer: bufferOf(taskId, time), context })]);
    };
    // Of the large ones each gets thousands of tasks one by one; of the others the next follows an answer.
    const pools = [1, 1, 1, 1, 3_000, 3_000].map(start);
    const anyPool = (): SlowPool => pools[chance(pools.length)] as SlowPool;
    const anyTask = (): number => [...open][chance(open.size)] ?? sent.size;
    let asked: Promise<unknown> | undefined;
    for (let round = 0; round < 1_500; round++) {
      const act = chance(40);
      if (act < 18) for (let more = chance(12); more >= 0; more--) send(sent.size);
      else if (act < 28) for (const pool of pools) for (const id of pool.held.splice(0, chance(8))) pool.finish(id);
      else if (act < 31) anyPool().turn();
      else if (act < 34) {
        // It may hold some of them, unread.
        const pool = anyPool();
        for (const id of [...open].slice(0, 50)) pool.finish(id);
      } else if (act < 36) send(anyTask());
      else if (act < 38 && asked === undefined) {
        const taskIds = Array.from({ length: 10 }, anyTask);
        asked = command.request([writeCommand({ name: 'cancel', taskIds })], { timeoutMs: 20_000 }).then(() => {
          asked = undefined;
        });
      } else if (act === 38 && chance(4) === 0) {
        await pools.shift()?.socket.close();
        pools.push(start(chance(3) === 0 ? 3_000 : 1));
      }
      if (chance(3) > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    for (const pool of pools) if (pool.isPaused) pool.turn();
    // All that the old ones were given and lost count of fails with them; the rest goes to one that does all.
    const last = start(100);
    for (let look = 0; open.size > 0 && look < 2_000; look++) {
      if (look === 200) for (const pool of pools.splice(0)) await pool.socket.close();
      for (const pool of [last, ...pools]) for (const id of pool.held.splice(0)) pool.finish(id);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await asked;
    assert.equal(open.size, 0, `${open.size} tasks have no answer`);
    assert.ok(checked > 1_000);
    for (const pool of [last, ...pools]) await pool.socket.close();
    await interchange[Symbol.asyncDispose]();
    await Promise.all([tasks, results, command].map((socket) => socket.close({ lingerMs: 0 })));
    // One is being filled, and some waited for pools that vanished; there were hundreds.
    const left = [...holders].filter(([{ bytes }, count]) => count > 0 && bytes.length === 65_536).length;
    assert.ok(left < 100, `${left} slabs are still held`);
    holders.clear();
  });
}
