// Millions of damaged frames through every reader there is, the interchange's core behind them. The test and
// scripts/fuzz.js call it; a failure carries the seed and the frame.
import assert from 'node:assert/strict';
import {
  readAnswer,
  readConfig,
  readConfigJson,
  readInterchangeMessage,
  readManagers,
  readOutcome,
  readReply,
  readStatus,
  readTaskBatch,
} from '#src/wire/messages.js';
import { readNote } from '#src/wire/notes.js';
import { Handshake } from '#src/wire/zmtp/handshake.js';
import { defaultLimits } from '#src/wire/zmtp/limits.js';
import { curveServer, type Mechanism, nullMechanism } from '#src/wire/zmtp/socket.js';
import { randomIntegers } from '../support/random.ts';
import { corpus, type SocketName, sockets } from './corpus.ts';
import { FrameInterchange } from './interchange.ts';
import { type Chance, mutate } from './mutate.ts';

export interface FuzzReport {
  /** Mutated frames by socket. */
  readonly frames: Record<SocketName, number>;
  readonly tasks: number;
  readonly answered: number;
  /** Resident memory, in MiB, after the first tenth and at the end. */
  readonly rssMiB: readonly [number, number];
}

export interface FuzzOptions {
  readonly seed: number;
  /** Ends after so many frames. @default infinite */
  readonly frames?: number;
  /** Ends after this time, in milliseconds. @default infinite */
  readonly ms?: number;
}

const rssMiB = (): number => Math.round(process.memoryUsage.rss() / 2 ** 20);

/**
 * Damages frames of all sockets until the wanted number or time is over.
 *
 * @throws AssertionError when a reader throws, an answer is unreadable or doubled, or a task is left unanswered.
 * @example
 * const { frames, rssMiB } = await fuzzMessages({ seed: 1, frames: 100_000 });
 */
export async function fuzzMessages({ seed, frames = Infinity, ms = Infinity }: FuzzOptions): Promise<FuzzReport> {
  const chance = randomIntegers(seed);
  const samples = corpus();
  const others = sockets.flatMap((name) => samples[name].flat());
  const counts = Object.fromEntries(sockets.map((name) => [name, 0])) as Record<SocketName, number>;
  const servers = [nullMechanism, await curveServer({ secretKey: Buffer.alloc(32, 3), allow: 'anyone' })];
  let interchange = new FrameInterchange(chance);
  const totals = { tasks: 0, answered: 0 };
  const start = performance.now();
  let early = 0;
  let done = 0;
  for (let round = 0; done < frames; round++) {
    if (round % 256 === 0 && performance.now() - start > ms) break;
    if (early === 0 && (done > frames / 10 || performance.now() - start > ms / 10)) early = rssMiB();
    const name = sockets[chance(sockets.length)] as SocketName;
    const messages = samples[name];
    const message = messages[chance(messages.length)] ?? [];
    const victim = chance(message.length);
    const damaged = message.map((frame, at) =>
      at === victim || chance(4) === 0 ? mutate(frame, others, chance) : Buffer.from(frame),
    );
    counts[name] += damaged.length;
    done += damaged.length;
    try {
      deliver(name, damaged, interchange, servers, chance);
      if (round % 7 === 0) interchange.finishOne();
      if (round % 50 === 0) interchange.wait(chance(3_000));
      if (round % 20_000 === 19_999) {
        finish(interchange, totals);
        interchange = new FrameInterchange(chance);
      }
    } catch (error) {
      const shown = damaged.map((frame) => frame.toString('hex').slice(0, 2_000)).join(' ');
      throw new assert.AssertionError({
        message: `CHERVIL_SEED=${seed}, round ${round}, socket "${name}", frames ${shown}: ${(error as Error).stack}`,
      });
    }
    // Sockets of other tests, and signals, must have their turn.
    if (round % 10_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  finish(interchange, totals);
  return { frames: counts, ...totals, rssMiB: [early, rssMiB()] };
}

function finish(interchange: FrameInterchange, totals: { tasks: number; answered: number }): void {
  interchange.finish();
  totals.tasks += interchange.state.counters.received;
  totals.answered += interchange.state.counters.answered;
}

function deliver(
  name: SocketName,
  frames: readonly Buffer[],
  interchange: FrameInterchange,
  servers: readonly Mechanism[],
  chance: Chance,
): void {
  const peer = `pool-${chance(30)}`;
  switch (name) {
    case 'tasks':
      interchange.tasks(frames);
      return;
    case 'commands':
      interchange.commands(frames);
      return;
    case 'pools':
      if (chance(50) === 0) interchange.connection(peer, chance(2) === 0);
      interchange.pools(peer, frames, 'single');
      return;
    case 'old pools':
      interchange.pools(peer, frames, 'tasks');
      return;
    case 'old results':
      interchange.pools(peer, frames, 'results');
      return;
    case 'configuration':
      for (const frame of frames) {
        readConfig(frame);
        readConfigJson(frame.toString('utf8'));
      }
      return;
    case 'results':
      for (const frame of frames) {
        readOutcome(frame);
        const answer = readAnswer(frame);
        if (answer.ok && answer.value.type === 'note') readNote(answer.value.bytes);
      }
      return;
    case 'replies':
      for (const frame of frames) {
        const reply = readReply(frame);
        if (!reply.ok) continue;
        readManagers(reply.value);
        readStatus(reply.value);
      }
      return;
    case 'work': {
      const read = readInterchangeMessage(frames);
      if (read.ok && read.value.type === 'tasks') readTaskBatch(read.value.value);
      return;
    }
    case 'connection':
      for (const bytes of frames) connection(bytes, servers[chance(servers.length)] as Mechanism, chance);
      return;
    default:
      name satisfies never;
  }
}

/** The bytes of a whole connection, in pieces of any size. */
function connection(bytes: Buffer, mechanism: Mechanism, chance: Chance): void {
  const limits = { ...defaultLimits, frameBytes: 2 ** 20 };
  const handshake = new Handshake({
    type: 'ROUTER',
    identity: Buffer.alloc(0),
    mechanism,
    limits,
    familiar: undefined,
  });
  handshake.start();
  let isReady = false;
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + chance(80));
    const piece = bytes.subarray(at, end);
    at = end;
    if (isReady) handshake.decoder.push(piece);
    else {
      for (const effect of handshake.receive(piece)) {
        if (effect.do === 'refuse') return;
        if (effect.do === 'ready') isReady = true;
      }
    }
    while (isReady && handshake.decoder.next() !== undefined);
  }
}
