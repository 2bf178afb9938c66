// When queued messages are written: together, and soon. All outboxes of the process share one schedule.
//
// The first message of a turn of the event loop starts a flush for the end of the running callback (after its promises),
// so a single message does not wait. Whatever is queued later in the same turn leaves at its end, in one write per
// connection. So a connection is written at most twice a turn, however many callbacks and messages there were. One that
// would rather be written once than at once gathers until the end of the turn.

/** Something with messages to write. */
export interface Flushable {
  flush(): void;
}

let waiting: Flushable[] = [];
let gathering: Flushable[] = [];
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

/** As {@link scheduleFlush}, but for the end of the turn alone: all that the turn brings leaves together. */
export function scheduleGathered(outbox: Flushable): void {
  gathering.push(outbox);
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
  if (gathering.length > 0) {
    waiting = waiting.length > 0 ? waiting.concat(gathering) : gathering;
    gathering = [];
  }
  flushAll();
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
