// The beginning of the writer's process: one line of JSON tells it what to do; further bytes wake it; the end of its input
// tells that the run is gone, however that came. What it has to say goes to stdout, one line of JSON each.
import { runWriter, type WriterStart, type WriterWord } from './writer.ts';

// Ctrl-C is for the run; this process ends when the run has, and everything is written.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.stdout.on('error', () => {});

let head = '';
let isGone = false;
let isWoken = false;
let wake = (): void => {
  isWoken = true;
};
const noted = wake;
const started = new Promise<WriterStart | undefined>((resolve) => {
  let isStarted = false;
  process.stdin.on('data', (bytes: Buffer) => {
    if (!isStarted) {
      head += bytes.toString('utf8');
      const end = head.indexOf('\n');
      if (end >= 0) {
        isStarted = true;
        resolve(JSON.parse(head.slice(0, end)) as WriterStart);
      }
    }
    wake();
  });
  const onGone = (): void => {
    isGone = true;
    wake();
    resolve(undefined);
  };
  process.stdin.on('end', onGone);
  process.stdin.on('error', onGone);
});

const start = await started;
if (start !== undefined) {
  const isDone = await runWriter(start, {
    tell: (word: WriterWord) => {
      process.stdout.write(`${JSON.stringify(word)}\n`);
    },
    wait: (ms) =>
      new Promise((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          wake = noted;
          isWoken = false;
          resolve();
        };
        const timer = setTimeout(done, ms);
        wake = done;
        if (isGone || isWoken) done();
      }),
    isSourceGone: () => isGone,
  });
  // So the run starts another one, also when it waits for its end.
  if (!isDone) process.exitCode = 1;
}
process.stdin.destroy();
