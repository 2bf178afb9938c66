// The end of a task's stdout or stderr: from its file, where this machine has it, or from the database. Asked by routes.ts.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import type { OutputText, TaskDetail } from './api.ts';

const shownBytes = 64 * 1024;

/** Only paths that the database names are read, and of them only plain files. */
export async function outputOf(task: TaskDetail, stream: 'stdout' | 'stderr', directory: string): Promise<OutputText> {
  const tail = task.tails.find((one) => one.stream === stream);
  const path = task[stream];
  if (path === null || path === '') {
    if (tail === undefined) return { path: '', text: '', size: 0, offset: 0, problem: 'nothing was captured' };
    return {
      path: '',
      text: tail.text,
      size: tail.bytes,
      offset: tail.bytes - Buffer.byteLength(tail.text),
      problem: null,
    };
  }
  const nothing = { path, text: '', size: 0, offset: 0 };
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(path)) return { ...nothing, problem: 'it was staged elsewhere' };
  try {
    // A named pipe would be waited for.
    const file = await open(
      isAbsolute(path) ? path : resolve(directory, path),
      constants.O_RDONLY | constants.O_NONBLOCK,
    );
    try {
      const facts = await file.stat();
      if (!facts.isFile()) return { ...nothing, problem: 'it is no plain file' };
      const offset = Math.max(0, facts.size - shownBytes);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(facts.size - offset), 0, facts.size - offset, offset);
      return { path, text: buffer.subarray(0, bytesRead).toString('utf8'), size: facts.size, offset, problem: null };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (tail !== undefined)
      return {
        path,
        text: tail.text,
        size: tail.bytes,
        offset: tail.bytes - Buffer.byteLength(tail.text),
        problem: null,
      };
    const { code, message } = error as NodeJS.ErrnoException;
    const problem =
      code === 'ENOENT'
        ? 'there is no such file on the machine of this dashboard'
        : code === 'EACCES'
          ? 'this user may not read it'
          : message;
    return { ...nothing, problem };
  }
}
