/**
 * Searches the record, newest first, over all chains below a folder, a page at a time. A page reads at most so many
 * bytes: a search for something rare comes back with a cursor instead of holding the process. Used by the admin API.
 */
import { relative } from 'node:path';
import { type BackwardLine, BackwardLines, type Place } from './backward.ts';
import { chainFolders } from './chains.ts';
import { dayOf, listAuditFiles } from './files.ts';
import { quoted } from './record-text.ts';

/** Every one that is there must fit. */
export type AuditQuery = {
  readonly kind?: string | undefined;
  /** `nobody`: requests of clients that no policy knows, as dashboards call them */
  readonly group?: string | undefined;
  /** a name or address, `*.example.com` for what is below it, `*` for any; also with a port, as rules write it */
  readonly host?: string | undefined;
  readonly reason?: string | undefined;
  readonly verdict?: string | undefined;
  readonly identity?: string | undefined;
  readonly operator?: string | undefined;
  readonly request_id?: string | undefined;
  readonly flow?: string | undefined;
  /** anywhere in the record, upper case or lower */
  readonly text?: string | undefined;
  /** milliseconds since the epoch; at or after */
  readonly since?: number | undefined;
  /** before */
  readonly until?: number | undefined;
};

export type AuditPage = {
  readonly records: readonly Readonly<Record<string, unknown>>[];
  /** for the next, older page; null: there is nothing older */
  readonly next: string | null;
  /** bytes that were read */
  readonly scanned: number;
};

export class BadCursorError extends Error {
  override readonly name = 'BadCursorError';
}

const NOBODY = 'nobody';
const PAGE_BYTES = 16 * 1024 * 1024;
/** So many records in a row that are too old are the end; fewer were written while the machine's clock was wrong. */
const MAX_OLDER = 4096;
/** One of a cursor that we made is far below. */
const MAX_CURSOR_CHARS = 65_536;
const FIELDS = ['kind', 'reason', 'verdict', 'identity', 'operator', 'request_id', 'flow'] as const;
const AT = /^\{"kind":"[a-z]+","seq":\d+,"at":"([^"]{24})"/;

/** `root`: the audit folder. Rejects with BadCursorError and the file system's errors. */
export async function searchAudit(
  root: string,
  query: AuditQuery,
  page: { readonly limit: number; readonly cursor?: string | null; readonly maxBytes?: number },
): Promise<AuditPage> {
  const sources = openSources(root, query, page.cursor ?? null);
  const records: Record<string, unknown>[] = [];
  const fits = matcher(query);
  const maxBytes = page.maxBytes ?? PAGE_BYTES;
  const scanned = (): number => sources.reduce((sum, { lines }) => sum + lines.scanned, 0);
  try {
    await Promise.all(sources.map((source) => source.advance()));
    for (let looked = 0; ; looked += 1) {
      const newest = newestOf(sources);
      if (newest === null) return { records, next: null, scanned: scanned() };
      // Each page gets somewhere, whatever it may read.
      if (records.length >= page.limit || (looked > 0 && scanned() >= maxBytes)) {
        return { records, next: cursorOf(sources), scanned: scanned() };
      }
      const found = fits(newest.text);
      if (found !== null) records.push(found);
      await newest.source.consume();
    }
  } finally {
    await Promise.all(sources.map(({ lines }) => lines.close()));
  }
}

/** One chain, and its newest line that was not looked at. */
class Source {
  readonly name: string;
  readonly lines: BackwardLines;
  readonly #since: string;
  /** before it everything is still to be looked at; null: nothing is left */
  place: Place | null;
  head: { readonly line: BackwardLine; readonly at: string } | null = null;

  constructor(name: string, made: { lines: BackwardLines; place: Place | null; since: number | undefined }) {
    this.name = name;
    this.lines = made.lines;
    this.place = made.place;
    this.#since = made.since === undefined ? '' : new Date(made.since).toISOString();
  }

  async advance(): Promise<void> {
    for (let older = 0; this.place !== null && older < MAX_OLDER; older += 1) {
      const line = await this.lines.next();
      if (line === null) break;
      // A line without a time is no record of ours: it goes where the one after it went.
      const at = AT.exec(line.text)?.[1] ?? this.head?.at ?? '9';
      if (at < this.#since) continue;
      this.head = { line, at };
      return;
    }
    this.head = null;
    this.place = null;
  }

  async consume(): Promise<void> {
    this.place = this.head?.line.place ?? null;
    await this.advance();
  }
}

function newestOf(sources: readonly Source[]): { source: Source; text: string } | null {
  let newest: Source | null = null;
  for (const source of sources) {
    if (source.head !== null && (newest?.head == null || source.head.at > newest.head.at)) newest = source;
  }
  return newest?.head == null ? null : { source: newest, text: newest.head.line.text };
}

function openSources(root: string, query: AuditQuery, cursor: string | null): Source[] {
  const places = cursor === null ? null : readCursor(cursor);
  const lastDay = query.until === undefined ? '99999999' : dayOf(query.until);
  return chainFolders(root).flatMap((dir) => {
    const name = relative(root, dir) || '.';
    // A chain that is not in the cursor is newer than it, or was read to its end.
    if (places !== null && !places.has(name)) return [];
    const place = places?.get(name) ?? null;
    const files = listAuditFiles(dir).filter(({ day }) => day <= lastDay);
    const last = place === null ? files.length - 1 : files.findIndex((file) => file.name === place.name);
    const there = files.slice(0, last + 1);
    const begin = there.at(-1);
    const from =
      place ?? (begin === undefined ? null : { name: begin.name, before: Number.MAX_SAFE_INTEGER });
    const lines = new BackwardLines(there, place?.before ?? null);
    return [new Source(name, { lines, place: begin === undefined ? null : from, since: query.since })];
  });
}

function cursorOf(sources: readonly Source[]): string {
  const places = sources.flatMap(({ name, place }) =>
    place === null ? [] : [[name, place.name, place.before]],
  );
  return Buffer.from(JSON.stringify(places)).toString('base64url');
}

/** Names only: they are compared with what is in the folder, and open nothing by themselves. */
function readCursor(cursor: string): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  const parsed =
    cursor.length > MAX_CURSOR_CHARS ? null : parseJson(Buffer.from(cursor, 'base64url').toString());
  if (!Array.isArray(parsed)) throw new BadCursorError('this is no cursor of ours');
  for (const entry of parsed) {
    const parts: readonly unknown[] = Array.isArray(entry) ? entry : [];
    const [chain, name, before] = parts;
    const sound = typeof before === 'number' && Number.isSafeInteger(before) && before >= 0;
    if (typeof chain !== 'string' || typeof name !== 'string' || !sound) {
      throw new BadCursorError('this is no cursor of ours');
    }
    places.set(chain, { name, before });
  }
  return places;
}

/** The record, where it fits; null: it does not, or is none. */
function matcher(query: AuditQuery): (line: string) => Record<string, unknown> | null {
  const wanted = FIELDS.flatMap((name) => (query[name] === undefined ? [] : [[name, query[name]] as const]));
  const { group } = query;
  // Most lines are sorted out by what must stand in them, before they are parsed.
  const marks = wanted.map(([name, value]) => `"${name}":${quoted(value)}`);
  if (group !== undefined && group !== NOBODY) marks.push(`"group":${quoted(group)}`);
  const text = query.text === undefined ? null : quoted(query.text).slice(1, -1).toLowerCase();
  const until = query.until === undefined ? '' : new Date(query.until).toISOString();
  const host = query.host === undefined ? null : hostPattern(query.host.toLowerCase());
  return (line) => {
    if (!marks.every((mark) => line.includes(mark))) return null;
    if (text !== null && !line.toLowerCase().includes(text)) return null;
    const value = parseJson(line);
    if (typeof value !== 'object' || value === null) return null;
    const record: Record<string, unknown> = { ...value };
    const fits =
      wanted.every(([name, asked]) => record[name] === asked) &&
      fitsGroup(record, group) &&
      isBefore(record['at'], until) &&
      fitsHost(record, host);
    return fits ? record : null;
  };
}

/** `until`: ISO 8601; empty: whenever. */
function isBefore(at: unknown, until: string): boolean {
  return until === '' || (typeof at === 'string' && at < until);
}

/** What operators do without a group is done to all of them. */
function fitsGroup(record: Readonly<Record<string, unknown>>, wanted: string | undefined): boolean {
  if (wanted === undefined || record['group'] === wanted) return true;
  return wanted === NOBODY && record['group'] === null && record['kind'] !== 'operator';
}

type HostPattern = { readonly name: string; readonly port: number | null };

/** `name`, `name:443`, `2001:db8::1` or `[2001:db8::1]:443`. */
function hostPattern(text: string): HostPattern {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const name = bracketed ?? plain ?? text.replace(/^\[(.*)\]$/, '$1');
  return { name, port: port === undefined ? null : Number(port) };
}

function fitsHost(record: Readonly<Record<string, unknown>>, wanted: HostPattern | null): boolean {
  if (wanted === null) return true;
  const { host, port } = record;
  if (typeof host !== 'string' || (wanted.port !== null && port !== wanted.port)) return false;
  const { name } = wanted;
  if (name === '*') return true;
  return name.startsWith('*.') ? host.endsWith(name.slice(1)) : host === name;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // foreign bytes: `audit verify` says what they are
  }
}
