// Where in a value something stands, in words: `argument 0 .options.callbacks[2]`.

/** One step into a value: an index, a key, or a place in a Map or Set. */
export type Step = number | string | { readonly in: 'key' | 'value' | 'member'; readonly of: unknown };

const longest = 300;

/** The path of a value by the steps that lead to it. A long one is cut in the middle. */
export function showPath(root: string, steps: readonly Step[]): string {
  if (steps.length === 0) return root;
  let text = '';
  if (steps.length <= 40) text = steps.map(showStep).join('');
  else {
    const between = steps.length - 20;
    text = `${steps.slice(0, 10).map(showStep).join('')} … ${between} more … ${steps.slice(-10).map(showStep).join('')}`;
  }
  if (text.length > longest) text = `${text.slice(0, longest / 2)} … ${text.slice(-longest / 2)}`;
  return `${root} ${text}`;
}

function showStep(step: Step): string {
  if (typeof step === 'number') return `[${step}]`;
  if (typeof step === 'string')
    return /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
  switch (step.in) {
    case 'key':
      return ` (its key ${showKey(step.of)})`;
    case 'value':
      return `.get(${showKey(step.of)})`;
    default:
      return `[${String(step.of)}]`;
  }
}

function showKey(key: unknown): string {
  if (typeof key === 'string') return JSON.stringify(key.length > 40 ? `${key.slice(0, 40)}…` : key);
  return typeof key === 'object' && key !== null ? 'an object' : String(key);
}
