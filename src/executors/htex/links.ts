// The three sockets between this process and its interchange: tasks out, answers in, commands both ways.
import { isBatchable, TaskGatherer } from '../../wire/messages/batch.ts';
import { type ManagerLine, readManagers, readReply, writeCommand } from '../../wire/messages/command.ts';
import { contextFragment, writeTask } from '../../wire/messages/task.ts';
import type { PickleValue } from '../../wire/pickle.ts';
import {
  bindToRandomPort,
  createSocket,
  type DealerSocket,
  type Mechanism,
  type RequesterSocket,
} from '../../wire/zmtp/socket.ts';
import { scheduleFlush } from '../../wire/zmtp/turn.ts';
import type { PortRange } from './options.ts';

const commandMs = 10_000;
/** A frame of tasks is sent when it has this many bytes, or when the turn ends. */
const mostBatchBytes = 65_536;

export interface LinkOptions {
  readonly mechanism: Mechanism;
  readonly address: string;
  readonly portRange: PortRange;
  readonly onAnswers: (frames: readonly Uint8Array[]) => void;
}

export class Links {
  readonly #tasks: DealerSocket;
  readonly #results: DealerSocket;
  readonly #commands: RequesterSocket;
  readonly #batch = new TaskGatherer();
  #sendsBatches = false;
  /** Whether the interchange gives large values to pools that cannot see their files. */
  takesFiles = false;
  ports: readonly [tasks: number, results: number, command: number] = [0, 0, 0];

  private constructor({ mechanism, onAnswers }: LinkOptions) {
    const common = { mechanism, highWaterMark: 0, keepsAlive: false };
    this.#tasks = createSocket({ type: 'dealer', ...common });
    this.#results = createSocket({ type: 'dealer', ...common, onMessage: onAnswers });
    this.#commands = createSocket({ type: 'req', ...common });
  }

  static async open(options: LinkOptions): Promise<Links> {
    const links = new Links(options);
    const { address, portRange } = options;
    const host = address.includes(':') ? `[${address}]` : address;
    const bind = async (socket: DealerSocket | RequesterSocket): Promise<number> => {
      const endpoint = await bindToRandomPort(socket, `tcp://${host}`, { min: portRange[0], max: portRange[1] });
      return Number(endpoint.slice(endpoint.lastIndexOf(':') + 1));
    };
    try {
      links.ports = [await bind(links.#tasks), await bind(links.#results), await bind(links.#commands)];
    } catch (error) {
      await links.close();
      throw error;
    }
    return links;
  }

  /**
   * Sends a call with the others of this turn.
   *
   * @throws TypeError for a context that is not plain data
   */
  send(taskId: number, context: PickleValue, call: Uint8Array): void {
    if (!this.#sendsBatches || !isBatchable(taskId)) {
      this.#tasks.send([writeTask({ taskId, buffer: call, context })]);
      return;
    }
    const batch = this.#batch;
    const fragment = contextFragment(context);
    if (!batch.fits(fragment)) this.flush();
    if (batch.length === 0) scheduleFlush(this);
    batch.add(taskId, fragment, call, 0, call.length);
    if (batch.length >= mostBatchBytes) this.flush();
  }

  /** Sends a file of code: before the calls that are sent later, and before those that have gathered. */
  sendCode(frame: Uint8Array): void {
    this.#tasks.send([frame]);
  }

  /** Hands what has gathered to the socket. */
  flush(): void {
    if (this.#batch.length > 0) this.#tasks.send([this.#batch.take()]);
  }

  /** Finds out what the interchange understands beyond Parsl's protocol; a Python one answers that it knows nothing. */
  async agree(): Promise<void> {
    const reply = await this.#ask({ name: 'extensions', extensions: ['batch'] });
    const extensions = Array.isArray(reply) ? reply : [];
    this.#sendsBatches = extensions.includes('batch');
    this.takesFiles = extensions.includes('files');
  }

  /** The port where pools are awaited. */
  async workerPort(timeoutMs: number, signal: AbortSignal): Promise<number> {
    const [frame] = await this.#commands.request([writeCommand({ name: 'worker binds' })], { timeoutMs, signal });
    const reply = readReply(frame as Uint8Array);
    if (!reply.ok || typeof reply.value !== 'number') throw new Error('the interchange told no port for pools');
    return reply.value;
  }

  /** Resolves when the interchange answers anything, and rejects when it does not in time. */
  async isThere(timeoutMs: number): Promise<void> {
    await this.#commands.request([writeCommand({ name: 'worker binds' })], { timeoutMs });
  }

  async managers(): Promise<ManagerLine[]> {
    const reply = await this.#ask({ name: 'managers' });
    const lines = readManagers(reply);
    if (!lines.ok) throw new Error(lines.error);
    return lines.value;
  }

  /** Ids of blocks whose pools have ever registered. */
  async connectedBlocks(): Promise<ReadonlySet<string>> {
    const reply = await this.#ask({ name: 'connected blocks' });
    return new Set(Array.isArray(reply) ? reply.map(String) : []);
  }

  /** For each manager the packages that it has, with their versions. */
  async packages(): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
    const reply = await this.#ask({ name: 'managers packages' });
    if (!(reply instanceof Map)) throw new Error('the answer to MANAGERS_PACKAGES is no dict');
    return new Map(
      Array.from(reply, ([manager, packages]) => [
        String(manager),
        new Map(
          packages instanceof Map ? Array.from(packages, ([name, version]) => [String(name), String(version)]) : [],
        ),
      ]),
    );
  }

  /** Tells a Chervil interchange that the pools of a block are gone; another one finds out by itself. */
  async blockEnded(blockId: string): Promise<void> {
    if (this.#sendsBatches) await this.#ask({ name: 'block ended', blockId });
  }

  async hold(manager: string): Promise<void> {
    await this.#ask({ name: 'hold manager', manager });
  }

  /**
   * @returns the ids that the interchange does not know: answered already, or still on their way; and how many tasks go on, because the
   * interchange or their manager is Parsl's and cannot stop them
   */
  async cancel(taskIds: readonly number[], reason: string): Promise<{ unknown: number[]; goOn: number }> {
    const reply = await this.#ask({ name: 'cancel', taskIds, reason });
    if (!Array.isArray(reply)) return { unknown: [], goOn: taskIds.length };
    return {
      unknown: taskIds.filter((_, index) => reply[index] === 'unknown'),
      goOn: reply.filter((answer) => answer === 'running').length,
    };
  }

  async #ask(command: Parameters<typeof writeCommand>[0]) {
    const [frame] = await this.#commands.request([writeCommand(command)], { timeoutMs: commandMs });
    const reply = readReply(frame as Uint8Array);
    if (!reply.ok) throw new Error(reply.error);
    return reply.value;
  }

  async close(): Promise<void> {
    await Promise.all([this.#tasks, this.#results, this.#commands].map((socket) => socket.close({ lingerMs: 0 })));
  }
}
