// A real browser for tests: Debian's Chromium, driven by playwright-core. Where there is none, tests are skipped with one line.
import assert from 'node:assert/strict';
import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { after, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** Where pictures of pages are kept, to be looked at. */
const pictures = join(root, 'test-artifacts', 'dashboard');
/** How long anything on a page may take on a busy machine. */
export const patienceMs = 30_000;

const program = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  .flatMap((name) => (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, name)))
  .find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

let browser: Promise<Browser> | undefined;
after(async () => (await browser)?.close());

export interface ViewOptions {
  /** @default 'laptop' */
  readonly size?: 'laptop' | 'phone';
  /** @default 'light' */
  readonly colours?: 'light' | 'dark';
}

/** A page that watches itself: what goes wrong in it fails the test. */
export interface View {
  readonly page: Page;
  /** Goes to a page of the dashboard, by what stands behind `#`. */
  open(place: string): Promise<void>;
  /** Keeps a picture as `test-artifacts/dashboard/NAME.png`. */
  picture(name: string): Promise<void>;
  /** No serious finding of axe, no error, nothing from elsewhere, nothing wider than the screen. */
  check(): Promise<void>;
}

/** `undefined`, and the test is skipped, where there is no Chromium. */
export async function viewOrSkip(t: TestContext, url: string, options: ViewOptions = {}): Promise<View | undefined> {
  if (program === undefined) {
    t.skip('for want of Chromium');
    return undefined;
  }
  // Its sandbox wants rights that root in a container has not.
  browser ??= chromium.launch({ executablePath: program, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
  const { size = 'laptop', colours = 'light' } = options;
  const context = await (await browser).newContext({
    viewport: size === 'phone' ? { width: 390, height: 844 } : { width: 1366, height: 850 },
    colorScheme: colours,
    hasTouch: size === 'phone',
    reducedMotion: 'reduce',
  });
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(patienceMs);
  const troubles: string[] = [];
  page.on('pageerror', (error) => troubles.push(`error: ${error.stack ?? error.message}`));
  page.on('console', (message) => {
    // A server that was ended on purpose is noted by the browser; the page tells it by itself.
    if (message.type() === 'error' && !/ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY/.test(message.text()))
      troubles.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(new URL(url).origin) && !/^(?:data|blob):/.test(request.url()))
      troubles.push(`asked elsewhere: ${request.url()}`);
  });
  await page.goto(url);
  return {
    page,
    async open(place) {
      await page.evaluate(`location.hash = ${JSON.stringify(place)}`);
      await page.locator('main h1').first().waitFor();
      await settled(page);
    },
    async picture(name) {
      mkdirSync(pictures, { recursive: true });
      await settled(page);
      await page.screenshot({ path: join(pictures, `${name}.png`) });
    },
    async check() {
      await settled(page);
      assert.deepEqual(troubles, [], 'what went wrong in the page');
      const overflow = Number(await page.evaluate('document.documentElement.scrollWidth - innerWidth'));
      assert.ok(overflow <= 0, `the page is ${overflow} pixels wider than the screen at ${page.url()}`);
      assert.deepEqual(await seriousFindings(page), [], `findings of axe at ${page.url()}`);
    },
  };
}

/** Nothing is being fetched for the first time, and what was fetched is drawn. */
async function settled(page: Page): Promise<void> {
  await page.waitForSelector('.loading', { state: 'detached' });
  await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))');
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

interface Finding {
  readonly id: string;
  readonly impact: string | null;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

async function seriousFindings(page: Page): Promise<string[]> {
  // Not as a script of the page: its policy forbids that.
  await page.evaluate(axe);
  const violations = (await page.evaluate(
    'axe.run(document, { resultTypes: ["violations"] }).then((result) => result.violations)',
  )) as Finding[];
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary ?? ''}`).join('\n')}`);
}
