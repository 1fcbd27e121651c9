/**
 * Values of all sources but the vault, which keeps its own list, by keyed digest in a file of the state folder: one that
 * was replaced in a file, a variable or at a server while no proxy ran, or before the last restart, is a revoked key all
 * the same. The key of the digests is made of the installation's. Used by `gone.ts`; shared by all workers.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeFileDurable } from '../base/durable.ts';
import { holdLock } from '../base/file-lock.ts';
import { fileStamp, textIfThere } from '../base/state-file.ts';
import type { RevokedDigest } from '../secrets/revoked.ts';
import { tailSum } from '../secrets/revoked.ts';
import type { SecretValue } from '../secrets/value.ts';
import { rememberedSchema } from './schema.ts';
import { hmac, sameBytes } from './seal.ts';

/** In the state folder. */
export const REMEMBERED_FILE = 'values.digests.json';

/** Values of each kind; the oldest are forgotten first. Tokens of `mint:` are many, and a sandbox can have them replaced. */
const MAX_LASTING = 4096;
const MAX_MINTED = 1024;
const MAX_BYTES = 4 * 1024 * 1024;
const SAVE_AGAIN_MS = 1_000;

type Known = { readonly length: number; readonly tail: number; readonly digest: string };
type Kind = 'lasting' | 'minted';
type Stored = Readonly<Record<Kind, ReadonlyMap<string, Known>>>;

export type Remembered = {
  /** What is in use now, by key. What was not known is written down. */
  note(held: Iterable<readonly [id: string, value: SecretValue | null]>): void;
  /** What was in use and is not any more. */
  list(): readonly RevokedDigest[];
  close(): void;
};

type RememberedOptions = {
  readonly file: string;
  /** 32 bytes of this installation */
  readonly installationKey: Buffer;
  /** in words for operators, when the file cannot be written */
  readonly onProblem: (message: string) => void;
};

/** Throws for a file that cannot be read: keys that were revoked would be good again. */
export function openRemembered(opts: RememberedOptions): Remembered {
  return new Memory(opts);
}

class Memory implements Remembered {
  readonly #opts: RememberedOptions;
  readonly #key: Buffer;
  #stored: Stored;
  /** of the file as it was read or written last */
  #stamp: string;
  /** digests of what is in use, by value: an unchanged one keeps its object */
  #current = new Map<SecretValue, string>();
  #unsaved = false;
  #failing = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(opts: RememberedOptions) {
    this.#opts = opts;
    this.#key = hmac(opts.installationKey, 'sallyport values that were in use');
    this.#stamp = fileStamp(opts.file);
    this.#stored = readStored(opts.file);
  }

  note(held: Iterable<readonly [string, SecretValue | null]>): void {
    this.#look();
    const current = new Map<SecretValue, string>();
    for (const [id, value] of held) {
      if (value === null || id.startsWith('vault:')) continue;
      const digest = this.#current.get(value) ?? this.#digestOf(value.expose());
      current.set(value, digest);
      const kind = id.startsWith('mint:') ? 'minted' : 'lasting';
      if (this.#stored.lasting.has(digest) || this.#stored.minted.has(digest)) continue;
      const known = { length: value.length, tail: tailSum(value.expose()), digest };
      this.#stored = { ...this.#stored, [kind]: new Map([...this.#stored[kind], [digest, known]]) };
      this.#unsaved = true;
    }
    this.#current = current;
    if (this.#unsaved) this.#save();
  }

  list(): readonly RevokedDigest[] {
    const inUse = new Set(this.#current.values());
    const gone = [...this.#stored.lasting.values(), ...this.#stored.minted.values()].filter(
      ({ digest }) => !inUse.has(digest),
    );
    return gone.map(({ length, tail, digest }) => {
      const expected = Buffer.from(digest, 'base64url');
      return { length, tail, matches: (candidate) => sameBytes(hmac(this.#key, candidate), expected) };
    });
  }

  close(): void {
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
    this.#current.clear();
  }

  #digestOf(bytes: Buffer): string {
    return hmac(this.#key, bytes).toString('base64url');
  }

  /** What other processes noted meanwhile. One that cannot be read now changes nothing. */
  #look(): void {
    try {
      const stamp = fileStamp(this.#opts.file);
      if (stamp === this.#stamp) return;
      this.#stored = merged(readStored(this.#opts.file), this.#stored);
      this.#stamp = stamp;
    } catch {
      // It was whole when this process began, and `#save` tells operators of trouble with it.
    }
  }

  /** The loop is never blocked for it: where another process has the lock, it is written a moment later. */
  #save(): void {
    const { file, onProblem } = this.#opts;
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      const release = holdLock(`${file}.lock`, 0);
      if (release === null) return this.#later();
      try {
        this.#stored = capped(merged(readStored(file), this.#stored));
        const { lasting, minted } = this.#stored;
        const content = { version: 1, lasting: [...lasting.values()], minted: [...minted.values()] };
        writeFileDurable(file, `${JSON.stringify(content)}\n`, 0o600);
      } finally {
        release();
      }
      this.#stamp = fileStamp(file);
      this.#unsaved = false;
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) {
        const why = error instanceof Error ? error.message : 'unknown';
        onProblem(`digests of key values cannot be kept (${why}): after a restart old values are not known`);
      }
      this.#failing = true;
      this.#later();
    }
  }

  #later(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (this.#unsaved) this.#save();
    }, SAVE_AGAIN_MS).unref();
  }
}

function merged(one: Stored, other: Stored): Stored {
  return {
    lasting: new Map([...one.lasting, ...other.lasting]),
    minted: new Map([...one.minted, ...other.minted]),
  };
}

function capped({ lasting, minted }: Stored): Stored {
  return {
    lasting: new Map([...lasting].slice(-MAX_LASTING)),
    minted: new Map([...minted].slice(-MAX_MINTED)),
  };
}

function readStored(file: string): Stored {
  const text = textIfThere(file, MAX_BYTES);
  if (text === null) return { lasting: new Map(), minted: new Map() };
  const { lasting, minted } = parsed(file, text);
  const byDigest = (all: readonly Known[]) => new Map(all.map((one) => [one.digest, one]));
  return { lasting: byDigest(lasting), minted: byDigest(minted) };
}

function parsed(file: string, text: string): Readonly<Record<Kind, readonly Known[]>> {
  try {
    return rememberedSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new Error(
      `${file} is not in the form that this program writes; without it old key values are not known`,
      { cause },
    );
  }
}
