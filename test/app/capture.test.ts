// Functions by value, with real programs: a program captures them, another process in another directory calls them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const fixtures = fileURLToPath(new URL('../fixtures/functions/', import.meta.url));
const environment = {
  ...process.env,
  CHERVIL_CAPTURE: import.meta.resolve('#src/app/capture.js'),
  CHERVIL_FUNCTIONS: import.meta.resolve('#src/wire/functions.js'),
  NODE_OPTIONS: '',
};

/** The same fixtures, as users run them: through tsx, compiled before, or with their types stripped by Node.js 24. */
interface Mode {
  readonly name: string;
  readonly command: readonly string[];
  /** True where enums and the like exist. */
  readonly compiles: boolean;
}
const compiled = mkdtempSync(join(tmpdir(), 'chervil-functions-'));
/** Set up by `npm test` (scripts/node24.js). */
const node24 =
  Number.parseInt(process.versions.node, 10) >= 24
    ? process.execPath
    : fileURLToPath(new URL('../../.cache/node24/node_modules/node/bin/node', import.meta.url));

const modes: Mode[] = [
  {
    name: 'through tsx',
    command: [process.execPath, '--import', import.meta.resolve('tsx'), join(fixtures, 'program.ts')],
    compiles: true,
  },
  { name: 'compiled', command: [process.execPath, join(compiled, 'program.js')], compiles: true },
  {
    name: 'with types stripped by Node.js 24',
    command: [node24, join(fixtures, 'program.ts')],
    compiles: false,
  },
];

before(() => {
  // Kept apart from the sources, with the packages that the fixtures import.
  symlinkSync(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(compiled, 'node_modules'));
  writeFileSync(join(compiled, 'package.json'), '{ "type": "module" }');
  const options = {
    extends: fileURLToPath(new URL('../../tsconfig.json', import.meta.url)),
    compilerOptions: {
      rootDir: fixtures,
      outDir: compiled,
      noEmit: false,
      allowImportingTsExtensions: false,
      rewriteRelativeImportExtensions: true,
      erasableSyntaxOnly: false,
      resolveJsonModule: true,
      noCheck: true,
      typeRoots: [fileURLToPath(new URL('../../node_modules/@types', import.meta.url))],
    },
    include: [join(fixtures, '**/*')],
    exclude: [],
  };
  writeFileSync(join(compiled, 'tsconfig.json'), JSON.stringify(options));
  const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc');
  const { stdout, status } = spawnSync(process.execPath, [tsc, '-p', compiled], { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
});
after(() => rmSync(compiled, { recursive: true }));

function run(mode: Mode, what: string): Record<string, unknown>[] {
  const [command = '', ...args] = mode.command;
  const { stdout, stderr, status } = spawnSync(command, [...args, what, mode.compiles ? 'compiled' : 'stripped'], {
    env: environment,
    encoding: 'utf8',
    timeout: 120_000,
  });
  assert.equal(status, 0, stderr);
  assert.doesNotMatch(stderr, /USE_MAIN_CONTEXT_DEFAULT_LOADER/);
  return JSON.parse(stdout) as Record<string, unknown>[];
}

for (const mode of modes) {
  describe(`functions by value, ${mode.name}`, () => {
    test('functions of every kind do in another process what they do here', () => {
      const results = run(mode, 'cases');
      for (const { name, expected, got } of results) assert.equal(got, expected, String(name));
      assert.ok(results.length >= (mode.compiles ? 65 : 61), `only ${results.length} cases ran`);
    });

    test('what cannot be sent is refused at the first submission, with the way to it, its line, and what to do', () => {
      const [first, ...results] = run(mode, 'refused');
      const file = mode.name === 'compiled' ? /[^\s"]*\/refused\.js:\d+/g : /[^\s"]*\/refused\.ts:\d+/g;
      const withoutLines = (text: unknown) => String(text).replace(file, 'pi.ts:1');
      const early = ((first?.['early'] ?? []) as string[]).map(withoutLines);
      assert.deepEqual(early, [
        'early() uses "lateConst" from pi.ts:1: it has no value yet. Call the app after that line has run.',
        'earlyClass() uses "LateClass" from pi.ts:1: it has no value yet. Call the app after that line has run.',
      ]);
      for (const { name, message, code } of results) {
        assert.equal(withoutLines(message), refusals[String(name)], String(name));
        assert.equal(code, 'CLOSURE', String(name));
      }
      assert.equal(results.length, Object.keys(refusals).length);
    });

    if (mode.name !== 'compiled') {
      test('a refusal names the line of the file that the user wrote', () => {
        const text = readFileSync(join(fixtures, 'refused.ts'), 'utf8');
        const line = text.slice(0, text.indexOf('let counter')).split('\n').length;
        const counter = run(mode, 'refused').find(({ name }) => name === 'a counter');
        assert.match(
          String(counter?.['message']),
          new RegExp(`"counter" from .*refused\\.ts:${line}: it is assigned again at .*refused\\.ts:${line + 1},`),
        );
      });
    }

    test('the stack of an error shows the file and line of every shipped function', () => {
      const [thrower, helper] = run(mode, 'stacks').map(({ stack }) => String(stack));
      if (mode.name === 'compiled') {
        assert.match(String(thrower), /at thrower \(.*\/stacks\.js:\d+:\d+\)/);
        assert.match(
          String(helper),
          /at fail \(.*\/stacks\.js:\d+:\d+\)\n +at helperThrower \(.*\/stacks\.js:\d+:\d+\)/,
        );
      } else {
        assert.match(String(thrower), /at thrower \(file:.*\/stacks\.ts:10:11\)/);
        assert.match(
          String(helper),
          /at fail \(file:.*\/stacks\.ts:6:9\)\n +at helperThrower \(file:.*\/stacks\.ts:14:\d+\)/,
        );
      }
    });

    test('an app can say how it is sent', () => {
      const [, , { described } = {}] = run(mode, 'stacks');
      assert.match(String(described), /^by value, \d+ bytes, captures \{ n: 7 \}$/);
    });
  });
}

const socket =
  'it is a stream or a socket, which only its process has. Pass a path or a URL, and open it in the task. Or move the function to a module and use apps().';
const assigned =
  'it is assigned again at pi.ts:1, and a copy would not follow. Pass it as an argument, or copy it into a const first.';
const promised =
  'it is a promise or future, which settles in this process only. Pass it as an argument, or await it first. Or move the function to a module and use apps().';

/** What the user reads, by case of the fixture. */
const refusals: Readonly<Record<string, string>> = {
  'a socket': `inside() uses "db" from pi.ts:1: ${socket}`,
  'without a name': `The function at pi.ts:1 uses "db" from pi.ts:1: ${socket}`,
  'an instance of a class':
    'inside() uses "account" from pi.ts:1: it is an instance of class Account. Pass its data, such as { ...it }, or give the class a serializer. Or move the function to a module and use apps().',
  'deep in data': `inside() uses "config.hooks[0]['the socket']" from pi.ts:1: ${socket}`,
  'a getter':
    'inside() uses "clock.now" from pi.ts:1: it is a getter, and a copy would keep the value of now. Read it into a const first. Or move the function to a module and use apps().',
  'deep beside functions': `inside() uses "hooks.list[0].db" from pi.ts:1: ${socket}`,
  'by way of other functions': `inside() -> outerUse() -> useDb() uses "db" from pi.ts:1: ${socket}`,
  'a counter': `inside() uses "counter" from pi.ts:1: ${assigned}`,
  'a counter by way of functions': `inside() -> increment() uses "counter" from pi.ts:1: ${assigned}`,
  'a counter of a factory': `The function at pi.ts:1 uses "n" from pi.ts:1: ${assigned}`,
  'assigned in another function': `inside() uses "later" from pi.ts:1: ${assigned}`,
  'var of a loop': `The function at pi.ts:1 uses "shared" from pi.ts:1: ${assigned}`,
  'var of for-of': `The function at pi.ts:1 uses "each" from pi.ts:1: ${assigned}`,
  'let of a loop, assigned in its body': `The function at pi.ts:1 uses "i" from pi.ts:1: ${assigned}`,
  'a unique symbol':
    'inside() uses "unique" from pi.ts:1: it is a unique symbol, and a copy would be another one. Use Symbol.for(). Or move the function to a module and use apps().',
  'a WeakMap':
    'inside() uses "weak" from pi.ts:1: it is a WeakMap. Pass a Map. Or move the function to a module and use apps().',
  'a promise': `inside() uses "promised" from pi.ts:1: ${promised}`,
  'a thenable': `inside() uses "future" from pi.ts:1: ${promised}`,
  'a Proxy':
    'inside() uses "proxy" from pi.ts:1: it is a Proxy, whose handler cannot be copied. Copy its data into a const first. Or move the function to a module and use apps().',
  'a bound function':
    'bound increment() cannot be sent: it is a bound function, and what it is bound to cannot be read. Write an arrow function instead of .bind().',
  'a captured bound function':
    'inside() -> bound() from pi.ts:1 cannot be sent: it is a bound function, and what it is bound to cannot be read. Write an arrow function instead of .bind().',
  'a native function without a global name':
    'inside() -> sleep() from pi.ts:1 cannot be sent: it is a function of Node.js itself (node:timers/promises). Import it inside of the function, or write an arrow function that calls it.',
  'a function of node':
    'readFileSync() cannot be sent: it is a function of Node.js itself (node:fs). Import it inside of the function, or write an arrow function that calls it.',
  'this of the function around':
    'rate() at pi.ts:1 cannot be sent: it is an arrow function that uses "this" of the function around it. Take what it needs into a const, and use that instead of "this".',
  'arguments of the function around':
    'The function at pi.ts:1 uses "arguments" of the function around it. Take what it needs into a const, or declare the arrow function with parameters (...args).',
  'a method with a private member':
    'balance() at pi.ts:1 cannot be sent: it uses #balance, a private member of its class. Send the class and make the object in the task, not its method.',
  'a method with super':
    'balance() at pi.ts:1 cannot be sent: it uses "super", which belongs to its object or class. Send the class and make the object in the task, not its method.',
  'a function with properties':
    'withProperty() at pi.ts:1 cannot be sent: it has a property cache, which would be lost. Move the function to a module and use apps().',
  'a function with a prototype':
    'Old() at pi.ts:1 cannot be sent: its prototype has method, which would be lost. Write it as a class.',
  'an app':
    'inside() -> wrapped() from pi.ts:1 cannot be sent: it is an app, and a task cannot call apps. Call the plain function instead, or use joinApp().',
  'a name that is nowhere':
    'inside() uses "nowhereDefined" at pi.ts:1: free variable "nowhereDefined" is not defined anywhere. Declare it, import it, or make it a parameter.',
};
