// Python functions from TypeScript: one of a module, one given as text, and a TypeScript app in between.
// Run it: chervil run examples/python/python.ts
import { fileURLToPath } from 'node:url';
import { app, htex, keywords, load, pythonApp } from 'chervil';

const tone = app((frequency: number, rate: number) =>
  Float64Array.from({ length: 64 }, (_, at) => Math.sin((2 * Math.PI * frequency * at) / rate)),
);
const peak = pythonApp<(samples: Float64Array, rate: number) => { frequency: number; power: number }>('spectrum:peak');
const name = pythonApp.source<(frequency: number) => string>(`
  NAMES = ['C', 'C#', 'D', 'D#', 'E', 'F', 'F#', 'G', 'G#', 'A', 'A#', 'B']

  def name(frequency):
      import math
      return NAMES[round(12 * math.log2(frequency / 440) + 57) % 12]
`);

const here = fileURLToPath(new URL('.', import.meta.url));
await using run = await load({
  executors: [htex({ python: { path: [here] }, maxWorkersPerNode: 1, coresPerWorker: 0.5 })],
});

for (const frequency of [440, 660]) {
  const found = peak(tone(frequency, 1_760), 1_760, keywords({ skip: 2 }));
  console.log(await found.get('frequency'), await name(found.get('frequency')));
}

try {
  await peak(new Float64Array(0), 1);
} catch (error) {
  console.log(String(error));
}
