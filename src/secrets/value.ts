/**
 * A real key in memory. The bytes leave through `expose()` alone, which `secrets/` calls to swap and to
 * compare; everything that prints (JSON, string conversion, `util.inspect`) shows the name (invariant I5).
 */
const inspectSymbol = Symbol.for('nodejs.util.inspect.custom');

export class SecretValue {
  readonly #name: string;
  readonly #bytes: Buffer;

  /** Takes a copy: the caller may wipe what it read. */
  constructor(name: string, bytes: Buffer) {
    this.#name = name;
    this.#bytes = Buffer.alloc(bytes.length);
    bytes.copy(this.#bytes);
  }

  get name(): string {
    return this.#name;
  }

  /** bytes */
  get length(): number {
    return this.#bytes.length;
  }

  /** Compares every byte whatever the first difference is; only unequal lengths answer early. */
  equals(other: SecretValue): boolean {
    const theirs = other.#bytes;
    if (theirs.length !== this.#bytes.length) return false;
    let difference = 0;
    for (const [at, byte] of this.#bytes.entries()) difference |= byte ^ (theirs[at] ?? 0);
    return difference === 0;
  }

  /** The bytes themselves, not a copy: read, never keep, never write. */
  expose(): Buffer {
    return this.#bytes;
  }

  /** Wipes the bytes once no request may use them any more. */
  zero(): void {
    this.#bytes.fill(0);
  }

  toString(): string {
    return `[secret ${this.#name}]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspectSymbol](): string {
    return this.toString();
  }
}
