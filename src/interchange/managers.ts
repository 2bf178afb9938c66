// The managers the interchange knows: one record each, the table by identity, and the order in which they will be
// missed. The core owns the one table of a run.
import type { PoolStyle } from '../wire/messages/era.ts';
import type { Registration } from '../wire/messages/manager.ts';
import type { Lane } from './lane.ts';
import type { TaskRecord } from './task.ts';
import type { Mismatch } from './versions.ts';

/** A registered worker pool. */
export class Manager {
  /** Its ZeroMQ identity, one character a byte. The key of the table; never printed. */
  readonly peer: string;
  /** Its identity as people and commands see it: plain, or escaped. */
  readonly name: string;
  /** Counts registrations of the run; decides where nothing else does. */
  readonly serial: number;
  readonly style: PoolStyle;
  readonly registration: Registration;
  readonly lanes: readonly Lane[];
  /** Most tasks it may hold. A Chervil pool changes it as its tasks turn out long or short. */
  capacity: number;
  /** Tasks it holds, oldest first, as a linked list. */
  firstTask: TaskRecord | undefined = undefined;
  lastTask: TaskRecord | undefined = undefined;
  leased = 0;
  /** False once held: it gets no more tasks. */
  isActive = true;
  /** True once it asked to leave. */
  isDraining = false;
  /** Why it may be a stray one, while nobody knows for sure. */
  doubt: Mismatch | undefined = undefined;
  /** When its connection broke, in milliseconds; `undefined` while it stands. */
  disconnectedAt: number | undefined = undefined;
  /** When it last registered or sent a heartbeat, in milliseconds. */
  heardAt: number;
  /** Since when it has had no tasks, in milliseconds; `undefined` while it has some. */
  idleSince: number | undefined;
  isReady = false;
  /** Set while it waits among those whose results came in this turn. */
  isFreed = false;
  /** Frames of results that came, and that were passed on, since the log last said so. Counted at the level `debug` only. */
  readonly unsaid = { came: 0, passedOn: 0 };
  /** What the log said of it last, and when. */
  readonly said = { leased: -1, capacity: 0, at: 0 };
  /** Set while a monitoring record of it waits for the end of the turn. */
  isMarked = false;
  /** When monitoring was told of it last. */
  recordedAt = Number.NEGATIVE_INFINITY;
  /** Neighbours in the order of `heardAt`. */
  earlier: Manager | undefined = undefined;
  later: Manager | undefined = undefined;

  constructor(
    peer: string,
    serial: number,
    style: PoolStyle,
    registration: Registration,
    lanes: readonly Lane[],
    capacity: number,
    now: number,
  ) {
    this.peer = peer;
    this.name = showIdentity(peer);
    this.serial = serial;
    this.style = style;
    this.registration = registration;
    this.lanes = lanes;
    this.capacity = capacity;
    this.heardAt = now;
    this.idleSince = now;
  }

  /** Notes that it holds `task` from now on. */
  lease(task: TaskRecord): void {
    task.state = 'leased';
    task.manager = this;
    task.previous = this.lastTask;
    if (this.lastTask === undefined) this.firstTask = task;
    else this.lastTask.next = task;
    this.lastTask = task;
    this.leased++;
    this.idleSince = undefined;
  }

  /** Notes that it no longer holds `task`. */
  release(task: TaskRecord, now: number): void {
    if (task.previous === undefined) this.firstTask = task.next;
    else task.previous.next = task.next;
    if (task.next === undefined) this.lastTask = task.previous;
    else task.next.previous = task.previous;
    task.manager = undefined;
    task.previous = undefined;
    task.next = undefined;
    this.leased--;
    if (this.leased === 0) this.idleSince = now;
  }

  /** Ids of the tasks it holds, in the order in which they were sent. */
  taskIds(): number[] {
    const ids: number[] = [];
    for (let task = this.firstTask; task !== undefined; task = task.next) ids.push(task.id);
    return ids;
  }
}

/** All registered managers. They stand in a list by when they were last heard, so the first is the next to be missed. */
export class ManagerTable {
  readonly #byPeer = new Map<string, Manager>();
  readonly #packages = new Map<string, { packages: Registration['packages']; users: number }>();
  #first: Manager | undefined;
  #last: Manager | undefined;

  get size(): number {
    return this.#byPeer.size;
  }

  get(peer: string): Manager | undefined {
    return this.#byPeer.get(peer);
  }

  /** The manager with this printed name. Looks at all of them: only rare commands ask. */
  named(name: string): Manager | undefined {
    const direct = this.#byPeer.get(name);
    if (direct?.name === name) return direct;
    for (const manager of this.#byPeer.values()) if (manager.name === name) return manager;
    return undefined;
  }

  /** Every manager, in order of registration. */
  values(): IterableIterator<Manager> {
    return this.#byPeer.values();
  }

  /** The one not heard from for the longest time. */
  get longestSilent(): Manager | undefined {
    return this.#first;
  }

  /**
   * The one copy of `packages` that equal managers share. The nodes of a run mostly have the same few hundred packages.
   * Each call must be matched by the removal of one manager.
   */
  share(registration: Registration): Registration {
    if (registration.packages === undefined) return registration;
    const key = JSON.stringify([...registration.packages]);
    let entry = this.#packages.get(key);
    if (entry === undefined) {
      entry = { packages: registration.packages, users: 0 };
      this.#packages.set(key, entry);
      this.#packageKeys.set(registration.packages, key);
    }
    entry.users++;
    return { ...registration, packages: entry.packages };
  }
  readonly #packageKeys = new WeakMap<object, string>();

  add(manager: Manager): void {
    this.#byPeer.set(manager.peer, manager);
    this.#append(manager);
  }

  /** Notes a sign of life. */
  hear(manager: Manager, now: number): void {
    manager.heardAt = now;
    if (this.#last === manager) return;
    this.#unlink(manager);
    this.#append(manager);
  }

  delete(manager: Manager): void {
    this.#byPeer.delete(manager.peer);
    this.#unlink(manager);
    const { packages } = manager.registration;
    const key = packages && this.#packageKeys.get(packages);
    const entry = key === undefined ? undefined : this.#packages.get(key);
    if (key !== undefined && entry !== undefined && --entry.users === 0) this.#packages.delete(key);
  }

  #append(manager: Manager): void {
    manager.earlier = this.#last;
    manager.later = undefined;
    if (this.#last === undefined) this.#first = manager;
    else this.#last.later = manager;
    this.#last = manager;
  }

  #unlink(manager: Manager): void {
    if (manager.earlier === undefined) this.#first = manager.later;
    else manager.earlier.later = manager.later;
    if (manager.later === undefined) this.#last = manager.earlier;
    else manager.later.earlier = manager.earlier;
    manager.earlier = undefined;
    manager.later = undefined;
  }
}

/**
 * An identity for people, logs and commands: letters, digits and `._-` as they are, every other byte as `\xNN`. Two
 * identities never look alike, and none can steer a terminal or leave a directory.
 *
 * @example
 * showIdentity('../x\n') // '..\\x2fx\\x0a'
 */
export function showIdentity(peer: string): string {
  if (/^[A-Za-z0-9._-]+$/.test(peer)) return peer;
  let shown = '';
  for (let at = 0; at < peer.length; at++) {
    const char = peer[at] as string;
    shown += /[A-Za-z0-9._-]/.test(char) ? char : `\\x${peer.charCodeAt(at).toString(16).padStart(2, '0')}`;
  }
  return shown;
}

/** The bytes of an identity. */
export function identityBytes(peer: string): Uint8Array {
  return Uint8Array.from(peer, (char) => char.charCodeAt(0));
}
