// The eras of Parsl's wire protocol, 2024.09 to today, and what separates them. Read by the message codecs and by the
// interchange's version policy. A peer is recognised by the shape of what it sends: its version text is a hint only,
// since every build from Parsl's repository calls itself the same.

/**
 * A span of Parsl releases that talk alike.
 *
 * | era | releases | what is new |
 * |---|---|---|
 * | A | to 2024.10.07 | two ports for pools, control messages in JSON, task `{task_id, buffer}` |
 * | B | 2024.10.21 to 2025.06.23 | task gains `resource_spec` |
 * | C | 2025.06.30 | one port, everything pickled, no empty frame towards pools |
 * | D | 2025.07.07 to 2025.09.15 | pools send a connection probe first |
 * | E | 2025.09.22 | payload: keyword arguments alone, no longer with the resource specification |
 * | F | 2025.09.29 to 2025.12.08 | task has `context` in place of `resource_spec` |
 * | G | 2025.12.15 to 2026.07.20 | payload: serializer `01` is neither written nor read |
 * | H | 2026.07.27 to 2026.09.28 | command `["HOLD_MANAGER", id]`; from 2026.08.10 CURVE to monitoring |
 * | I | from 2026.10.05 | pools send an item alone, without control frame; from 2026.10.19 registration has `drain_time` |
 */
export type Era = 'A' | 'B' | 'C' | 'D' | 'E' | 'F' | 'G' | 'H' | 'I';

/** Which keys a task dict has around its buffer. */
export type Envelope = 'bare' | 'resource_spec' | 'context';

/** How a pool is spoken to: by an empty frame and the payload on two ports (A, B), or by one frame on one port. */
export type PoolStyle = 'two-port' | 'one-port';

/**
 * Eras whose buffers and results are alike. Peers of different families cannot be joined without opening payloads,
 * which an interchange never does.
 */
export type PayloadFamily = 'A-D' | 'E-F' | 'G-I';

const eras = {
  A: { envelope: 'bare', style: 'two-port', family: 'A-D' },
  B: { envelope: 'resource_spec', style: 'two-port', family: 'A-D' },
  C: { envelope: 'resource_spec', style: 'one-port', family: 'A-D' },
  D: { envelope: 'resource_spec', style: 'one-port', family: 'A-D' },
  E: { envelope: 'resource_spec', style: 'one-port', family: 'E-F' },
  F: { envelope: 'context', style: 'one-port', family: 'E-F' },
  G: { envelope: 'context', style: 'one-port', family: 'G-I' },
  H: { envelope: 'context', style: 'one-port', family: 'G-I' },
  I: { envelope: 'context', style: 'one-port', family: 'G-I' },
} as const satisfies Record<Era, { envelope: Envelope; style: PoolStyle; family: PayloadFamily }>;

/** Every era, oldest first. */
export const allEras = Object.keys(eras) as readonly Era[];

export function envelopeOf(era: Era): Envelope {
  return eras[era].envelope;
}

export function styleOf(era: Era): PoolStyle {
  return eras[era].style;
}

export function familyOf(era: Era): PayloadFamily {
  return eras[era].family;
}

/** Which of `eras` send tasks of this form; all of them if none does, since a form nobody expects tells nothing. */
export function erasSending(envelope: Envelope, eras: readonly Era[]): readonly Era[] {
  // 2024.10.14 has the configuration of era B and still sends the tasks of A, and nothing else separates the two.
  const found = eras.filter((era) => envelopeOf(era) === envelope);
  return found.length === 0 ? eras : found;
}

/** First releases of each era, newest first. */
const firstReleases: readonly (readonly [string, Era])[] = [
  ['2026.10.05', 'I'],
  ['2026.07.27', 'H'],
  ['2025.12.15', 'G'],
  ['2025.09.29', 'F'],
  ['2025.09.22', 'E'],
  ['2025.07.07', 'D'],
  ['2025.06.30', 'C'],
  ['2024.10.21', 'B'],
  ['', 'A'],
];

/**
 * The era of a released Parsl, or `undefined` for anything that is not a release (builds from the repository all say
 * `1.3.0-dev`).
 *
 * @example
 * eraOfRelease('2026.01.05') // 'G'
 */
export function eraOfRelease(version: string): Era | undefined {
  const release = /^(\d{4}\.\d{2}\.\d{2})(?:$|[^\d.])/.exec(version)?.[1];
  if (release === undefined) return undefined;
  return firstReleases.find(([first]) => release >= first)?.[1];
}
