import { describe, expect, it } from 'vitest';
import { openLogSink } from '../../../src/base/log-sink.ts';

describe('the sink of the log', () => {
  it('holds no more than it may for a reader that is slow, and tells of what was lost once it reads again', () => {
    const taken: string[] = [];
    const stream = { writableLength: 0, write: (text: string) => taken.push(text) };
    const sink = openLogSink(stream, (lost) => `lost ${lost}`);
    sink.write('one');
    stream.writableLength = 2 * 1_048_576;
    for (const line of ['two', 'three']) sink.write(line);
    stream.writableLength = 0;
    for (const line of ['four', 'five']) sink.write(line);
    expect(taken).toEqual(['one', 'lost 2', 'four', 'five']);
  });
});
