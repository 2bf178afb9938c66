// A reporter for node:test: each test that ended as one line of JSON, for scripts/test.js, which runs one process for each
// file and tells about all of them.

/** What is told of one test. */
export default async function* reporter(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite' && type === 'test:pass') continue;
    const error = data.details.error;
    // A test of which a part failed: the part itself is told.
    if (error?.failureType === 'subtestsFailed') continue;
    const isSkipped = data.skip !== undefined && data.skip !== false;
    const how = isSkipped ? 'skipped' : type === 'test:pass' || data.todo !== undefined ? 'passed' : 'failed';
    const reason =
      typeof data.skip === 'string' && data.skip !== '' ? data.skip : isSkipped ? 'no reason given' : undefined;
    const place = data.line === undefined ? undefined : `${data.line}:${data.column}`;
    yield `${JSON.stringify({ how, title: data.name, reason, place, ms: Math.round(data.details.duration_ms), error: how === 'failed' ? textOf(error) : undefined })}\n`;
  }
}

function textOf(error) {
  const cause = error?.cause ?? error;
  const text = cause instanceof Error ? (cause.stack ?? String(cause)) : String(cause);
  return text
    .split('\n')
    .filter((line) => !/^\s+at .*node:internal/.test(line))
    .join('\n');
}
