// Pickles the tests are made from: captured messages and a few written by hand.
import { readFileSync } from 'node:fs';

export interface Sample {
  readonly name: string;
  readonly bytes: Buffer;
}

function read(name: string): string {
  return readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8');
}

function frames(file: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of read(`vectors/${file}.jsonl`).trim().split('\n')) {
    const message = JSON.parse(line) as { kind?: string; case?: string; frames_hex: (string | null)[] };
    for (const hex of message.frames_hex) {
      // Older releases send JSON on their control sockets.
      if (hex?.startsWith('80'))
        samples.push({ name: `${file} ${message.kind ?? message.case}`, bytes: Buffer.from(hex, 'hex') });
    }
  }
  return samples;
}

/** Messages between real Parsl processes of three releases. */
export const captured: Sample[] = ['2024.09.02', '2025.06.30', '2026.07.27'].flatMap(frames);

/** Broken messages, whose first layer is mostly a sound pickle all the same. */
export const malformed: Sample[] = frames('malformed-interchange');

/** Exceptions pickled by dill and by pickle. */
export const exceptions: Sample[] = Object.entries(
  JSON.parse(read('python-exceptions.json')) as Record<string, string>,
).map(([name, hex]) => ({ name, bytes: Buffer.from(hex, 'hex') }));

const latin = (text: string): Buffer => Buffer.from(text, 'latin1');

/** The spellings of protocols 0 to 2, and what envelopes never hold. */
export const handMade: Sample[] = [
  {
    name: 'protocol 0 dict',
    bytes: latin("(dp0\nS'a'\np1\nI1\nsVb\\u20ac\np2\nL123456789012345678901L\nsI3\nF1.5\nsNI01\ns."),
  },
  {
    name: 'protocol 0 object',
    bytes: latin('ccopy_reg\n_reconstructor\n(c__main__\nA\nc__builtin__\nobject\nNtR(dVx\nI1\nsb.'),
  },
  { name: 'INST', bytes: latin('(I1\nI2\nimodule\nClass\np0\n(lp1\ng1\naI00\nab.') },
  { name: 'OBJ and DUP', bytes: latin('(cmodule\nClass\nI1\no2\x86.') },
  { name: 'NEWOBJ_EX', bytes: latin('\x80\x04\x8c\x01m\x8c\x01C\x93)}\x8c\x01kK\x01s\x92.') },
  { name: 'POP and POP_MARK', bytes: latin('\x80\x02]q\x00(K\x01K\x021K\x030.') },
  { name: 'sets', bytes: latin('\x80\x04\x8f\x94(K\x01K\x02\x90(K\x03\x91\x86.') },
  {
    name: 'long values',
    bytes: latin('\x80\x04\x8b\x03\0\0\0\x01\x02\xff\x8d\x01\0\0\0\0\0\0\0x\x8e\x01\0\0\0\0\0\0\0y\x87.'),
  },
  { name: 'bytearray of protocol 5', bytes: latin('\x80\x05\x96\x02\0\0\0\0\0\0\0ab.') },
  { name: 'memo with gaps', bytes: latin('\x80\x02]r\x00\x01\x00\x00K\x01r\x05\x00\x00\x00aj\x05\x00\x00\x00a.') },
];

export const allSamples: Sample[] = [...captured, ...malformed, ...exceptions, ...handMade];
