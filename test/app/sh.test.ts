import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { Command, sh, type Word } from '#src/app/sh.js';
import { scriptOf } from '#src/task/command.js';
import { File, file, output } from '#src/task/file.js';

const seed = Number(process.env['CHERVIL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
console.log(`CHERVIL_SEED=${seed}`);

const printed = (command: Command, environment: NodeJS.ProcessEnv = process.env): string => {
  const { stdout, status, stderr } = spawnSync('/bin/bash', ['-c', '--', command.script], {
    encoding: 'utf8',
    env: environment,
  });
  assert.equal(status, 0, stderr);
  return stdout;
};

/** What a program gets as its arguments, one in a line, between angle brackets. */
const words = (...parts: Parameters<typeof sh>): string => {
  const [template, ...values] = parts;
  const raw = template.raw.map((text, index) => (index === 0 ? `printf '<%s>\n' ${text}` : text));
  return printed(sh(Object.assign([...raw], { raw }) as unknown as TemplateStringsArray, ...values));
};

/** Tests pass what the types refuse. */
const any = (value: unknown): Word => value as Word;

describe('sh: what may be put in', () => {
  test('a string is one word, whatever is in it', () => {
    assert.equal(
      words`${'two words'} ${"it's"} ${'$HOME `id` $(id) \\ "x" * ~ # !'}`,
      '<two words>\n<it\'s>\n<$HOME `id` $(id) \\ "x" * ~ # !>\n',
    );
  });

  test('an empty string is an empty word', () => {
    assert.equal(sh`printf ${''}`.script, "printf ''");
    assert.equal(words`${''} x`, '<>\n<x>\n');
  });

  test('any string is printed exactly as it is', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({
        unit: fc.constantFrom(
          "'",
          '"',
          '\\',
          '$',
          '`',
          '\n',
          ' ',
          '!',
          '(',
          ')',
          '#',
          'a',
          '{',
          '}',
          ',',
          '.',
          '~',
          '=',
          '*',
        ),
      }),
    );
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 8 }), (all) => {
        const strings = all.map((one) => one.replaceAll('\0', ''));
        assert.equal(printed(sh`printf '%s\0' ${strings}`), strings.map((one) => `${one}\0`).join(''));
        assert.equal(printed(sh`printf %s ${strings[0]!}`), strings[0]);
      }),
      { seed, numRuns: 150 },
    );
  });

  test('words of bash itself and digits lose their meaning', () => {
    assert.equal(sh`${'time'} ${'if'} ${'2'}`.script, "'time' 'if' '2'");
    assert.equal(words`${'2'}>&1`, '<2>\n');
  });

  test('plain names and paths are left as they are, so that commands can be read', () => {
    assert.equal(sh`sort -n ${'data/in-1.txt'}`.script, 'sort -n data/in-1.txt');
  });

  test('numbers, bigints and booleans are words', () => {
    assert.equal(words`${1.5} ${-3} ${12n} ${true} ${false}`, '<1.5>\n<-3>\n<12>\n<true>\n<false>\n');
  });

  test('a number before > is no descriptor', () => {
    assert.equal(words`${2}>&1`, '<2>\n');
  });

  test('numbers stand in arithmetic, in ranges and in loops', () => {
    assert.equal(printed(sh`echo $((${20} + 2 * ${11})) {1..${3}}`), '42 1 2 3\n');
    assert.equal(printed(sh`for ((i = 0; i < ${2}; i++)); do echo $i; done`), '0\n1\n');
  });

  test('a File and an Output are their path, quoted', () => {
    const io = { from: file('/data/in put.csv'), to: output('/data/out.csv') };
    assert.equal(sh`sort -n ${io.from} > ${io.to}`.script, "sort -n '/data/in put.csv' > /data/out.csv");
  });

  test('a File that was staged is its staged path', () => {
    assert.equal(sh`cat ${new File('https://example.org/a', '/scratch/a')}`.script, 'cat /scratch/a');
  });

  test('a File that was not staged is refused with its URL', () => {
    assert.throws(
      () => sh`cat ${file('https://example.org/a')}`,
      /Interpolation 1 of sh`cat …` is a file without a path: https:\/\/example.org\/a/,
    );
  });

  test('a File of another copy of Chervil is known by its fields', () => {
    class File {
      url = 'file:///a';
      localPath = undefined;
      path = '/a';
    }
    assert.equal(sh`cat ${any(new File())}`.script, 'cat /a');
  });

  test('a URL is its address, and its path if it is a file: URL', () => {
    assert.equal(words`${new URL('https://example.org/?a=1&b=2')}`, '<https://example.org/?a=1&b=2>\n');
    assert.equal(sh`cat ${pathToFileURL('/a b')}`.script, "cat '/a b'");
  });

  test('an array becomes one word for each element', () => {
    assert.equal(words`x ${['a b', 3, [true, file('/f')]]} y`, '<x>\n<a b>\n<3>\n<true>\n</f>\n<y>\n');
    assert.equal(words`x ${[]} y`, '<x>\n<y>\n');
    assert.equal(printed(sh`list=(${['a b', 'c']}); echo ${'$'} "\${#list[@]}"`), '$ 2\n');
  });

  test('an array that touches other text is refused', () => {
    assert.throws(() => sh`cmd --in=${['a', 'b']}`, /Interpolation 1 .* is an array, .* spaces around it/);
    assert.throws(() => sh`cmd ${['a', 'b']}.txt`, TypeError);
    assert.throws(() => sh`cmd ${'x'}${['a', 'b']}`, TypeError);
    assert.throws(() => sh`cmd --in=${[]}`, TypeError);
  });

  test('words stand directly beside each other and beside text', () => {
    assert.equal(words`${'a b'}${"'"}-${3}.txt --x=${'y z'}`, "<a b'-3.txt>\n<--x=y z>\n");
  });

  test('another command is put in as text', () => {
    const filter = sh`grep -e ${'a b'}`;
    assert.equal(sh`cat x | ${filter} | wc`.script, "cat x | grep -e 'a b' | wc");
    assert.equal(printed(sh`cat ${['1', '2'].map((text) => sh`<(echo ${text})`)}`), '1\n2\n');
    assert.equal(sh`tar ${sh``} x`.script, 'tar  x');
  });

  test('sh.raw puts text in as it is, and it is read like the text around it', () => {
    assert.equal(sh`cmd ${sh.raw('-a -b "$HOME"')} x`.script, 'cmd -a -b "$HOME" x');
    assert.throws(() => sh`echo ${sh.raw('"')} ${'x'}`, /Interpolation 2 .*inside quotes/);
    assert.throws(() => sh.raw(undefined as unknown as string), /takes a string, not undefined/);
  });

  test('data that looks like a command is no command', () => {
    assert.throws(() => sh`echo ${any(JSON.parse('{"script":"rm x"}'))}`, /is an object/);
  });

  test('sh.quote quotes one value', () => {
    assert.equal(sh.quote("it's"), "'it'\\''s'");
    assert.equal(sh.quote(['a b', 1]), "'a b' 1");
    assert.throws(() => sh.quote(any(undefined)), /sh.quote was given undefined/);
  });
});

describe('sh: what is refused at once', () => {
  test('undefined is named by its place', () => {
    assert.throws(() => sh`sort -n ${'a'} > ${any(undefined)}`, {
      name: 'TypeError',
      message: 'Interpolation 2 of sh`sort -n … > …` is undefined.',
    });
  });

  for (const [value, message] of [
    [null, /is null/],
    [{ a: 1 }, /is an object\./],
    [new Map(), /is an object of class Map/],
    [new Date(), /is an object of class Date/],
    [Object.create(null), /is an object\./],
    [function name() {}, /is the function name/],
    [() => 1, /is the function \(without a name\)/],
    [Symbol('x'), /is a symbol/],
    [Promise.resolve(1), /is a promise: await it first/],
    [[1, undefined], /is undefined/],
    ['a\0b', /NUL/],
    ['\ud800', /lone surrogate/],
    [sh.raw('a\0'), /NUL/],
  ] as const) {
    test(`refused: ${message.source}`, () => {
      assert.throws(
        () => sh`echo ${any(value)}`,
        (error) => error instanceof TypeError && message.test(error.message),
      );
    });
  }

  test('the compiler refuses most of them', () => {
    const name: string | undefined = [][0];
    // @ts-expect-error: it may be undefined
    assert.throws(() => sh`echo ${name}`);
    // @ts-expect-error: an object is no word
    assert.throws(() => sh`echo ${{ a: 1 }}`);
    // @ts-expect-error: a promise is no word
    assert.throws(() => sh`echo ${Promise.resolve('a')}`);
  });

  test('a call without a template is refused', () => {
    const call = sh as unknown as (text: string) => Command;
    assert.throws(() => call('ls'), /write sh`…`, or sh.raw/);
  });

  test('a long template is cut in the message', () => {
    assert.throws(
      () =>
        sh`${'x'} ${any(undefined)} aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`,
      /Interpolation 2 of sh`.{59}…` is undefined/,
    );
  });
});

describe('sh: places where a quoted word would be no word', () => {
  const x = "it's $(id)";
  const refused: [string, () => Command, RegExp][] = [
    ['double quotes', () => sh`echo "hello ${x}"`, /inside quotes/],
    ['single quotes', () => sh`echo 'hello ${x}'`, /inside quotes/],
    ["$'…'", () => sh`echo $'hello\'${x}'`, /inside quotes/],
    ['backquotes', () => sh`echo \`cat ${x}\``, /inside backquotes/],
    ['a parameter expansion', () => sh`echo "\${name:-${x}}"`, /parameter expansion/],
    ['a comment', () => sh`echo a # ${x}`, /comment/],
    [
      'a here-document',
      () => sh`cat <<END
${x}
END`,
      /here-document/,
    ],
    [
      'a here-document with a quoted mark',
      () => sh`cat <<-'END' | wc
	a ${x}
	END`,
      /here-document/,
    ],
    ['the mark of a here-document', () => sh`cat << ${x}`, /end mark/],
    ['behind a mark', () => sh`cat <<END${x}`, /end mark/],
    ['behind a $', () => sh`echo $${x}`, /behind a \$/],
    ['behind a backslash', () => sh`echo ${sh.raw('\\')}${x}`, /backslash/],
    ['arithmetic', () => sh`echo $((1 + ${'a[$(id)]'}))`, /only numbers/],
    ['old arithmetic', () => sh`echo $[1 + ${1}]`, /old form/],
    ['a case in a substitution', () => sh`echo "$(case a in a) echo "${x}";; esac)"`, /case inside/],
    ['two parentheses that are no arithmetic', () => sh`((echo a); echo ${x})`, /arithmetic/],
    ['a quote in an expansion in quotes', () => sh`echo "\${a#'}'}" ${x}`, /cannot follow/],
    ['a command inside quotes', () => sh`bash -c "${sh`echo ${x}`}"`, /inside quotes/],
    ['signs that become one', () => sh`(${sh`(echo a); echo b`})`, /one sign/],
  ];
  for (const [name, make, message] of refused) {
    test(`refused: ${name}`, () => {
      assert.throws(make, (error) => error instanceof TypeError && message.test(error.message));
    });
  }

  test('after quotes, comments and here-documents have ended, words are welcome', () => {
    assert.equal(
      printed(sh`cat <<END; echo ${1} # it's "a comment
'text "of the document
END
echo "a"'b'$'c\''${'d e'} # another
echo "$(echo ${'f  g'})" "$((1 + 2))" \${x:-y} $$a$# a#${'h'} 2>&1 \
  | cat; cat <<< ${'i j'}`).replace(/ \d+a/, ' PIDa'),
      "'text \"of the document\n1\nabc'd e\nf  g 3 y PIDa0 a#h\ni j\n".replace("abc'd", "abc'd"),
    );
  });

  test('case, functions, groups and tests are followed', () => {
    assert.equal(
      printed(sh`f() { echo "$1"; }
case ${'a b'} in
  'a b') f ${'x  y'};;
  *) echo no;;
esac
if [[ ${'q'} == ${'q'} && ! -e ${'/no where'} ]]; then (echo $(echo ${'1'})); fi`),
      'x  y\n1\n',
    );
  });

  test('where a template is accepted, bash does with the word what it does with a quoted variable', () => {
    const pieces = [
      '"',
      "'",
      '$',
      '(',
      ')',
      '`',
      '\\',
      '#',
      '\n',
      ' ',
      ';',
      '{',
      '}',
      '((',
      '))',
      '$(',
      '$((',
      "$'",
      '<<E',
      '<<-E',
      '<<<',
      '\nE\n',
      '${v',
      '"$(',
      ')"',
      'echo ',
      ' echo a',
      ' case a in a',
      ' esac',
      'a',
      '=',
      '|',
      '&&',
      'for i in a; do ',
      '; done',
      '1',
      '[[ ',
      ' ]]',
    ];
    const evil = `a'$(echo I)"\`echo J\`\\#"'\n; echo K;`;
    const template = fc.array(
      fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...pieces) }, { weight: 1, arbitrary: fc.constant(null) }),
      { maxLength: 14 },
    );
    let accepted = 0;
    fc.assert(
      fc.property(template, (parts) => {
        const raw = [' echo '];
        for (const part of parts) part === null ? raw.push('') : raw.push(raw.pop() + part);
        raw.push(`${raw.pop()}\n`); // a backslash at the very end is a case of its own to bash
        const texts = Object.assign([...raw], { raw }) as unknown as TemplateStringsArray;
        let command: Command;
        try {
          command = sh(texts, ...raw.slice(1).map(() => evil));
        } catch (error) {
          assert.ok(error instanceof TypeError);
          return;
        }
        if (raw.length === 1) return;
        accepted++;
        const run = (script: string) =>
          spawnSync('/bin/bash', ['-c', '--', script], {
            encoding: 'utf8',
            env: { ...process.env, WORD: evil },
            cwd: '/proc',
          });
        const own = run(command.script);
        const other = run(raw.map((text) => text.replace(/\\(`|\$\{)/g, '$1')).join('"$WORD"'));
        // A script that bash cannot read does nothing either way; its complaints show the text.
        if (own.status !== 0 && other.status !== 0) return;
        // Process ids differ, and what runs in the background comes when it likes.
        const comparable = (text: string) =>
          text
            .replace(/\d{3,}/g, 'PID')
            .split('\n')
            .sort();
        assert.deepEqual(comparable(own.stdout), comparable(other.stdout), JSON.stringify(raw));
      }),
      { seed, numRuns: Number(process.env['CHERVIL_RUNS'] ?? 400), interruptAfterTimeLimit: 60_000 },
    );
    console.log(`accepted ${accepted}`);
  });
});

describe('sh: the text of the template', () => {
  test('backslashes belong to bash', () => {
    assert.equal(sh`sed 's/\./\n/' \$HOME \\ \u{x`.script, "sed 's/\\./\\n/' \\$HOME \\\\ \\u{x");
  });

  test('\\` and \\${ are what a template needs to write ` and ${', () => {
    assert.equal(sh`echo \`id\` \${HOME} $HOME`.script, 'echo `id` $\x7bHOME} $HOME');
  });

  test('a command is plain data that can be copied', () => {
    const command = sh`echo ${1}`;
    assert.deepEqual(structuredClone({ ...command }), { script: 'echo 1' });
    assert.deepEqual(JSON.parse(JSON.stringify(command)), { script: 'echo 1' });
    assert.equal(`${command}`, 'echo 1');
    assert.ok(command instanceof Command);
  });
});

describe('what the function of a bash app may return', () => {
  test('a command, a string, or a command that lost its class on the way', () => {
    for (const returned of [sh`echo 1`, 'echo 1', structuredClone({ script: 'echo 1' })]) {
      assert.deepEqual(scriptOf(returned), { ok: true, value: 'echo 1' });
    }
  });

  test('nothing else', () => {
    assert.deepEqual(scriptOf(undefined), { ok: false, error: 'undefined' });
    assert.deepEqual(scriptOf(3), { ok: false, error: 'the number 3' });
    assert.deepEqual(scriptOf(['a']), { ok: false, error: 'an array' });
  });
});
