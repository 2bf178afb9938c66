// The blocks of one executor: starts the first, looks at them now and then, starts more and ends some as the strategy says, and ends
// all of them. What it decides stands in strategy.ts and handlers.ts; this file asks the provider and keeps the table.
import type { BlockErrorHandler } from './handlers.ts';
import { type JobState, type JobStatus, type Provider, terminalStates } from './provider.ts';
import { decideScaling, type StrategyName } from './strategy.ts';

/** What the blocks need of their executor. */
export interface BlockOwner {
  /** Tasks that are not answered. */
  readonly outstanding: number;
  /** The command of a pool for this block. */
  commandFor(blockId: string): string;
  /** Blocks whose pools have ever come. */
  connectedBlocks(): Promise<ReadonlySet<string>>;
  /** For each block with pools: for how long all of them have had no tasks, in milliseconds; 0 while they have some. */
  idleBlocks(): Promise<ReadonlyMap<string, number>>;
  /** Gives the pools of this block no more tasks. */
  holdBlock(blockId: string): Promise<void>;
  /** The job of a block is over, and its pools with it. */
  onBlockEnded?(blockId: string): void;
  /** The blocks mean that nothing can run any more. */
  onBlocksFailed(reason: string): void;
  log(level: 'debug' | 'info' | 'warn' | 'error', message: string): void;
  /** For monitoring: a block was started, changed, or ended, and why. */
  onBlock?(block: string, job: string | undefined, status: JobStatus, reason?: string): void;
}

export interface BlockOptions {
  readonly init: number;
  readonly min: number;
  readonly max: number;
  readonly parallelism: number;
  readonly strategy: StrategyName;
  readonly maxIdleMs: number;
  readonly periodMs: number;
  readonly slotsPerBlock: number;
  /** How long a block whose pools came may be without any, in milliseconds, until it is ended: they are stopped, or cut off. */
  readonly lostMs: number;
  readonly onError: BlockErrorHandler;
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
}

interface Block {
  readonly id: string;
  readonly job: string | undefined;
  status: JobStatus;
  /** It gets no more tasks, and is ended as soon as it has none. */
  isHeld: boolean;
  /** Why it is held. */
  reason?: string;
  /** Its pools came; an interchange that was started again knows nothing of that. */
  hasConnected: boolean;
  /** Since when it has been without pools, having had some, in milliseconds. */
  hollowSince: number | undefined;
}

export class Blocks {
  readonly #owner: BlockOwner;
  readonly #provider: Provider;
  readonly #options: BlockOptions;
  readonly #blocks = new Map<string, Block>();
  #timer: NodeJS.Timeout | undefined;
  #idleSince: number | undefined;
  #isLooking = false;
  /** Something happened while it looked. */
  #mustLookAgain = false;
  /** The executor has no interchange to ask. */
  #isPaused = false;
  #isClosed = false;
  #hasFailed = false;

  constructor(owner: BlockOwner, provider: Provider, options: BlockOptions) {
    this.#owner = owner;
    this.#provider = provider;
    this.#options = options;
  }

  /** Starts the first blocks. Rejects when none of them can be started. */
  async start(): Promise<void> {
    this.#provider.onEnded = () => void this.look();
    await this.#scaleOut(this.#options.init, `the run begins with ${this.#options.init}`);
    const blocks = [...this.#blocks.values()];
    if (blocks.length > 0 && blocks.every(({ job }) => job === undefined))
      throw new Error(blocks[0]?.status.message ?? 'no block could be started');
    this.#timer = setInterval(() => void this.look(), Math.min(this.#options.periodMs, this.#provider.pollMs)).unref();
  }

  /** Blocks that run or are about to. */
  get active(): number {
    return this.#inStates(['running', 'pending']).filter(({ isHeld }) => !isHeld).length;
  }

  /** All blocks so far, in order. */
  lines(): (JobStatus & { readonly id: string; readonly job: string | undefined })[] {
    return Array.from(this.#blocks.values(), ({ id, job, status }) => ({ ...status, id, job }));
  }

  /** Looks at all blocks and does what the strategy says. Never rejects. */
  async look(): Promise<void> {
    if (this.#isLooking) this.#mustLookAgain = true;
    if (this.#isLooking || this.#isClosed || this.#hasFailed || this.#isPaused) return;
    this.#isLooking = true;
    this.#mustLookAgain = false;
    try {
      await this.#poll();
      if (!this.#isClosed && !this.#hasFailed && !this.#isPaused) await this.#scale();
    } catch (error) {
      this.#owner.log('warn', `looking at the blocks failed: ${(error as Error).message}`);
    } finally {
      this.#isLooking = false;
      if (this.#mustLookAgain) void this.look();
    }
  }

  async #poll(): Promise<void> {
    const open = [...this.#blocks.values()].filter(
      ({ status, job }) => job !== undefined && !terminalStates.has(status.state),
    );
    const found = await this.#provider.status(open.map(({ job }) => job as string));
    let connected: ReadonlySet<string> | undefined;
    for (const [index, block] of open.entries()) {
      const status = found[index] ?? { state: 'unknown' };
      if (!terminalStates.has(status.state) || this.#isClosed) {
        const isNew = block.status.state !== status.state;
        block.status = status;
        if (isNew) this.#tell(block);
        continue;
      }
      connected ??= await this.#owner.connectedBlocks();
      if (this.#isPaused) return;
      const isMissing = !block.hasConnected && !connected.has(block.id) && status.state !== 'cancelled';
      const message = `block ${block.id} ended before its workers came`;
      block.status = isMissing
        ? {
            ...status,
            state: 'missing',
            message: status.message === undefined ? message : `${message}: ${status.message}`,
          }
        : { ...status, hadWorkers: true };
      if (!isMissing) this.#owner.onBlockEnded?.(block.id);
      this.#owner.log(
        isMissing ? 'error' : 'info',
        `block ${block.id} is ${block.status.state}, exit code ${status.exitCode ?? 'unknown'}`,
      );
      this.#tell(block, block.status.message ?? `its job ended with exit code ${status.exitCode ?? 'unknown'}`);
    }
    await this.#endHollow();
    if (this.#isClosed || this.#isPaused) return;
    const reason = this.#options.onError(
      new Map([...this.#blocks.values()].map(({ id, status }) => [id, status])),
      this.#options.init,
    );
    if (reason === undefined) return;
    this.#hasFailed = true;
    this.#owner.onBlocksFailed(reason);
  }

  /** A block whose pools came, and are gone while its job runs, has slots that nobody serves. */
  async #endHollow(): Promise<void> {
    const running = this.#inStates(['running']);
    if (running.length === 0) return;
    const [connected, present] = await Promise.all([this.#owner.connectedBlocks(), this.#owner.idleBlocks()]);
    const now = performance.now();
    const lost: Block[] = [];
    for (const block of running) {
      block.hasConnected ||= connected.has(block.id);
      if (present.has(block.id) || !block.hasConnected) {
        block.hollowSince = undefined;
        continue;
      }
      block.hollowSince ??= now;
      if (now - block.hollowSince >= this.#options.lostMs) lost.push(block);
    }
    for (const block of lost) {
      this.#owner.log('warn', `block ${block.id} is ended: its pools are not heard of any more`);
      block.status = { ...block.status, state: 'cancelled', message: 'its pools were not heard of any more' };
      this.#tell(block, 'its pools were not heard of any more');
    }
    if (lost.length > 0) await this.#provider.cancel(lost.map(({ job }) => job as string));
  }

  async #scale(): Promise<void> {
    await this.#endHeld();
    const { min, max, parallelism, strategy, maxIdleMs, slotsPerBlock } = this.#options;
    const view = {
      tasks: this.#owner.outstanding,
      active: this.active,
      slotsPerBlock,
      minBlocks: min,
      // Those that are held, and not ended yet, are still there.
      maxBlocks: max - (this.#inStates(['running', 'pending']).length - this.active),
      parallelism,
      maxIdleMs,
      idleSince: this.#idleSince,
    };
    const { step, idleSince } = decideScaling(strategy, view, performance.now());
    this.#idleSince = idleSince;
    switch (step.do) {
      case 'nothing':
        return;
      case 'scale out':
        await this.#scaleOut(
          step.blocks,
          `${view.tasks} tasks for ${view.active * slotsPerBlock} workers (${view.active} blocks, parallelism ${parallelism})`,
        );
        return;
      case 'scale in':
        await this.#scaleIn(
          step.blocks,
          step.onlyIdle,
          view.tasks === 0
            ? `no task for ${Math.round(maxIdleMs / 1_000)} s`
            : `${view.tasks} tasks need fewer than ${view.active} blocks`,
        );
        return;
      default:
        step satisfies never;
    }
  }

  async #scaleOut(count: number, reason: string): Promise<void> {
    for (let started = 0; started < count && !this.#isClosed; started++) {
      const id = String(this.#blocks.size);
      const { directory, environment } = this.#options;
      // Counted at once, so that a second look does not start it again.
      this.#blocks.set(id, {
        id,
        job: undefined,
        status: { state: 'pending' },
        isHeld: false,
        hasConnected: false,
        hollowSince: undefined,
      });
      try {
        const job = await this.#provider.submit(this.#owner.commandFor(id), {
          name: `block-${id}`,
          directory,
          environment,
        });
        this.#blocks.set(id, {
          id,
          job,
          status: { state: 'pending' },
          isHeld: false,
          hasConnected: false,
          hollowSince: undefined,
        });
        this.#owner.log('info', `block ${id} was submitted as ${job}: ${reason}`);
        this.#owner.onBlock?.(id, job, { state: 'pending' }, reason);
      } catch (error) {
        const status = { state: 'failed', message: (error as Error).message } as const;
        this.#blocks.set(id, {
          id,
          job: undefined,
          status,
          isHeld: false,
          hasConnected: false,
          hollowSince: undefined,
        });
        this.#owner.log('error', `block ${id} could not be submitted: ${(error as Error).message}`);
        this.#owner.onBlock?.(id, undefined, status, `it could not be submitted: ${status.message}`);
      }
    }
  }

  /** Ends blocks, the longest idle first; with `onlyIdle` none that has tasks or had some lately. */
  async #scaleIn(count: number, onlyIdle: boolean, reason: string): Promise<void> {
    const idle = await this.#owner.idleBlocks();
    const candidates = this.#inStates(['running', 'pending'])
      // A block whose workers have not come is the idlest of all.
      .map((block) => ({ block, idleMs: idle.get(block.id) ?? Number.POSITIVE_INFINITY }))
      .filter(({ block, idleMs }) => !block.isHeld && idleMs > (onlyIdle ? this.#options.maxIdleMs : 0))
      .sort((a, b) => b.idleMs - a.idleMs)
      .slice(0, count);
    for (const { block } of candidates) {
      block.isHeld = true;
      block.reason = reason;
      await this.#owner.holdBlock(block.id);
    }
    await this.#endHeld();
  }

  /** Held blocks get no more tasks. Those that got some just before are ended when these are done. */
  async #endHeld(): Promise<void> {
    const held = this.#inStates(['running', 'pending']).filter(({ isHeld }) => isHeld);
    if (held.length === 0) return;
    const idle = await this.#owner.idleBlocks();
    const ended = held.filter(({ id }) => idle.get(id) !== 0);
    for (const block of ended) {
      this.#owner.log('info', `block ${block.id} is ended: it is not needed`);
      block.status = { ...block.status, state: 'scaled-in' };
      this.#tell(block, block.reason ?? 'it is not needed');
    }
    await this.#provider.cancel(ended.map(({ job }) => job as string));
  }

  #inStates(states: readonly JobState[]): Block[] {
    return [...this.#blocks.values()].filter(({ status }) => states.includes(status.state));
  }

  /** Nobody can be asked how the pools are, and that they end says nothing: until `restart`. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Ends all blocks, and forgets those that were there: for another life with other pools. */
  async restart(): Promise<void> {
    await this.#cancelAll();
    for (const block of this.#blocks.values())
      if (!terminalStates.has(block.status.state)) block.status = { state: 'scaled-in' };
    this.#isPaused = false;
    const { init, max } = this.#options;
    await this.#scaleOut(Math.min(max, Math.max(1, init)), 'the interchange was started again');
  }

  async #cancelAll(): Promise<void> {
    const jobs = [...this.#blocks.values()].flatMap(({ job, status }) =>
      job === undefined || terminalStates.has(status.state) ? [] : [job],
    );
    await this.#provider.cancel(jobs);
  }

  /** Ends all blocks. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#provider.onEnded = undefined;
    for (const { id, job, status } of this.#inStates(['running', 'pending', 'held', 'unknown']))
      if (job !== undefined)
        this.#owner.onBlock?.(id, job, { ...status, state: 'cancelled' }, 'the executor was closed');
    await this.#cancelAll();
  }

  #tell({ id, job, status }: Block, reason?: string): void {
    this.#owner.onBlock?.(id, job, status, reason);
  }
}
