// A configuration in a file of its own, for `chervil run --config FILE` and `chervil perf --config FILE`.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { type Config, checkConfig } from '../load/config.ts';
import { importing } from '../wire/typescript.ts';
import { CommandError } from './command-error.ts';

/** Gives the configuration anew each time, as executors serve one run only; an object can do so once. */
export type ConfigMaker = () => Promise<Config>;

/**
 * Reads the module `path`: its export `default` or `config`, a configuration or a function that gives one. It is checked
 * here, so that a wrong one stops the program before it began.
 */
export async function configFrom(path: string): Promise<ConfigMaker> {
  const file = resolve(path);
  if (!existsSync(file))
    throw new CommandError(
      `there is no config file ${file}; --config takes the path of a module, from the current directory`,
    );
  const { href } = pathToFileURL(file);
  const module = await importing(
    href,
    () => import(href) as Promise<{ readonly default?: unknown; readonly config?: unknown }>,
  );
  const given = module.default ?? module.config;
  if (given === undefined) {
    const others = Object.keys(module);
    throw new CommandError(
      `${file} exports no configuration: write \`export default defineConfig({ … })\`${others.length > 0 ? `; it exports only ${others.join(', ')}` : ''}`,
    );
  }
  const make = async (): Promise<Config> => {
    const config: unknown = typeof given === 'function' ? await (given as () => unknown)() : given;
    if (typeof config !== 'object' || config === null) {
      throw new CommandError(
        `${file} must export a configuration, or a function that gives one, but that is ${inspect(config, { depth: 0 })}`,
      );
    }
    checkConfig(config);
    return config;
  };
  if (typeof given !== 'function') await make();
  return make;
}
