// When queued messages are written: together, and soon. All outboxes of the process share one schedule.
//
// The first message of a turn of the event loop starts a flush for the end of the running callback (after its promises),
// so a single message does not wait. Whatever is queued later in the same turn leaves at its end, in one write per
// connection. So a connection is written at most twice a turn, however many callbacks and messages there were. One that
// would rather be written once than at once gathers: what comes turn after turn, for up to a millisecond, leaves together.

/** Something with messages to write. */
export interface Flushable {
  flush(): void;
}

/** Something whose messages may wait for more. */
export interface Gathering extends Flushable {
  /** Whether messages came since this was last asked. */
  hasGrown(): boolean;
}

/** Messages that gather leave with the end of the first turn that is over so many milliseconds after the first of them, at the latest. */
const longestGatheringMs = 1;

let waiting: Flushable[] = [];
const gathering: { readonly outbox: Gathering; readonly since: number }[] = [];
let isTurnEndAsked = false;
let state: 'quiet' | 'callback ends' | 'turn ends' = 'quiet';

/** Asks for one call of `outbox.flush()`. The caller remembers that it asked, and asks again only after that call. */
export function scheduleFlush(outbox: Flushable): void {
  waiting.push(outbox);
  if (state !== 'quiet') return;
  state = 'callback ends';
  // A tick that is asked for by a microtask runs when all microtasks are done, whoever asked first.
  queueMicrotask(askForTick);
}

/** As {@link scheduleFlush}, but for the end of the first turn that brings it nothing: what comes turn after turn leaves together. */
export function scheduleGathered(outbox: Gathering): void {
  gathering.push({ outbox, since: performance.now() });
  askForTurnEnd();
}

function askForTick(): void {
  process.nextTick(onCallbackEnds);
}

function askForTurnEnd(): void {
  if (isTurnEndAsked) return;
  isTurnEndAsked = true;
  setImmediate(onTurnEnds);
}

function onCallbackEnds(): void {
  state = 'turn ends';
  askForTurnEnd();
  flushAll();
}

function onTurnEnds(): void {
  isTurnEndAsked = false;
  if (state === 'turn ends') state = 'quiet';
  if (gathering.length > 0) sortGathering();
  flushAll();
}

/** Those that this turn brought something wait for the next one. It follows at once: nothing may come in it. */
function sortGathering(): void {
  const before = performance.now() - longestGatheringMs;
  let kept = 0;
  for (const gathered of gathering) {
    if (gathered.since > before && gathered.outbox.hasGrown()) gathering[kept++] = gathered;
    else waiting.push(gathered.outbox);
  }
  while (gathering.length > kept) gathering.pop();
  if (kept > 0) askForTurnEnd();
}

/** Flushing may ask for flushes: one that gathers messages into one gives that to its socket. Those are done in the same go. */
function flushAll(): void {
  flushWaiting();
  if (waiting.length > 0) flushWaiting();
}

function flushWaiting(): void {
  const all = waiting;
  waiting = [];
  let flushed = 0;
  try {
    while (flushed < all.length) all[flushed++]!.flush();
  } finally {
    // A handler that was called on the way threw. That is its owner's to catch; the other outboxes follow in the next turn.
    if (flushed < all.length) {
      waiting = [...all.slice(flushed), ...waiting];
      if (state === 'quiet') {
        state = 'turn ends';
        askForTurnEnd();
      }
    }
  }
}
