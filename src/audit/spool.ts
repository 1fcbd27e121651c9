/**
 * What commands did, on its way into the record. A command cannot write to the chain, which belongs to the running
 * proxy; it leaves a note in the state folder, and the proxy that runs, or the next one that starts, takes it over.
 * A crash at the wrong moment writes a note twice, never not at all.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurable } from '../base/durable.ts';
import type { OperatorEvent } from './event.ts';

const FOLDER = 'actions';
const NAME = /^[0-9A-Z]{26}\.json$/;
const MAX_NOTE_BYTES = 16_384;
/** In one go: the rest waits for the next one. */
const MAX_AT_ONCE = 100;

/** `dir`: `state.dir`; `id`: a ULID, by which notes are taken in order. Throws the file system's error. */
export function leaveNote(dir: string, id: string, event: OperatorEvent): void {
  mkdirSync(join(dir, FOLDER), { recursive: true, mode: 0o700 });
  writeFileDurable(join(dir, FOLDER, `${id}.json`), `${JSON.stringify(event)}\n`, 0o600);
}

export class NoteTaker {
  readonly #dir: string;
  readonly #record: (event: OperatorEvent) => void;
  readonly #now: () => number;
  /** handed to the record the last time: by now they stand in the file */
  #handed: readonly string[] = [];

  constructor(dir: string, record: (event: OperatorEvent) => void, now: () => number) {
    this.#dir = join(dir, FOLDER);
    this.#record = record;
    this.#now = now;
  }

  /** Takes what lies there, oldest first. Never throws. */
  take(): void {
    this.settle();
    const names = list(this.#dir).filter((name) => NAME.test(name));
    const some = names.sort().slice(0, MAX_AT_ONCE);
    for (const name of some) this.#record(this.#read(join(this.#dir, name)));
    this.#handed = some;
  }

  /** What was taken stands in the record: the notes may go. */
  settle(): void {
    for (const name of this.#handed) unlinkQuietly(join(this.#dir, name));
    this.#handed = [];
  }

  #read(path: string): OperatorEvent {
    try {
      if (statSync(path).size <= MAX_NOTE_BYTES) {
        const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
        if (isNote(value)) return value;
      }
    } catch {
      // Told of below, like one that says something else.
    }
    return {
      kind: 'operator',
      action: 'unknown',
      operator: 'file',
      origin: 'file',
      client: null,
      group: null,
      subject: path,
      outcome: 'failed',
      why: 'the note of this action could not be read',
      actedAt: this.#now(),
    };
  }
}

const OUTCOMES: ReadonlySet<unknown> = new Set<OperatorEvent['outcome']>(['done', 'refused', 'failed']);
/** What a program without the chain at hand may call itself. */
const ORIGINS: ReadonlySet<unknown> = new Set<OperatorEvent['origin']>(['cli', 'signal']);

function isNote(value: unknown): value is OperatorEvent {
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  const text = (name: string): boolean => typeof fields.get(name) === 'string';
  const textOrNull = (name: string): boolean => fields.get(name) === null || text(name);
  const actedAt = fields.get('actedAt');
  return (
    fields.get('kind') === 'operator' &&
    ['action', 'operator'].every(text) &&
    ['client', 'group', 'subject', 'why'].every(textOrNull) &&
    ORIGINS.has(fields.get('origin')) &&
    OUTCOMES.has(fields.get('outcome')) &&
    typeof actedAt === 'number' &&
    Math.abs(actedAt) <= MAX_TIME
  );
}

/** Of a Date, milliseconds. */
const MAX_TIME = 8.64e15;

function list(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return []; // no command has left anything yet
  }
}

function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It is taken again then, and recorded twice.
  }
}
