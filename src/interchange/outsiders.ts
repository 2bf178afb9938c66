// Peers that send what only a manager sends, and are none: strangers, those that were lost, and those that have just drained,
// whose last words are no fault. The core calls it.
import { assertNever } from '../base/assert.ts';
import { entry } from '../wire/messages/batch.ts';
import type { Item } from '../wire/messages/item.ts';
import type { InterchangeEffect } from './events.ts';
import { showIdentity } from './managers.ts';
import { type InterchangeState, logSeldom } from './state.ts';

/** The last so many that drained are remembered. */
const mostDrained = 1_000;

/** Remembers that this peer was told to end, as it wished. */
export function rememberDrained(state: InterchangeState, peer: string): void {
  const { drained } = state;
  drained.delete(peer);
  for (const oldest of drained) {
    if (drained.size < mostDrained) break;
    drained.delete(oldest);
  }
  drained.add(peer);
}

/** A heartbeat, a wish: nothing comes of it. One that has drained may have sent it before it heard so. */
export function noteOutsider(state: InterchangeState, peer: string, what: string, effects: InterchangeEffect[]): void {
  if (state.drained.has(peer)) return;
  logSeldom(state, effects, 'warning', `${what} ${peer}`, `${what} of unknown manager ${showIdentity(peer)}`);
}

/** Results are dropped; what a drained manager's workers had still to say to monitoring is passed on. */
export function onOutsidersResults(
  state: InterchangeState,
  peer: string,
  items: readonly Item[],
  effects: InterchangeEffect[],
): void {
  const isDrained = state.drained.has(peer);
  let dropped = 0;
  for (const item of items) {
    switch (item.kind) {
      case 'monitoring':
        if (!isDrained) dropped++;
        else if (state.settings.isMonitored) effects.push({ do: 'relay monitoring', frame: item.frame });
        break;
      case 'batch':
        dropped += item.batch.whats.filter((what) => what !== entry.note).length;
        break;
      case 'outcome':
      case 'unreadable':
        dropped++;
        break;
      case 'heartbeat':
      case 'note':
        break;
      default:
        assertNever(item);
    }
  }
  if (dropped === 0) return;
  state.counters.strayResults += dropped;
  const text = `Dropped ${dropped} results of unknown manager ${showIdentity(peer)}`;
  logSeldom(state, effects, 'warning', `results ${peer}`, text);
}
