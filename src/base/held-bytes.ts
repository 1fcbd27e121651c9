/**
 * What is held of one kind, per group: of WebSocket messages and bodies until they are whole, and of what clients say
 * before they have their answer. A group that fills it spends its own budget and nobody else's. Made by `front.ts`.
 */
const MAX_HELD_BYTES_OF_GROUP = 64 * 1024 * 1024;
const MAX_KNOWN_GROUPS = 64;

export class HeldBytes {
  readonly #max: number;
  /** groups that hold something, and some that did: to forget one and to know it anew costs more than its place */
  readonly #byGroup = new Map<string, number>();

  /** `max`: bytes of one group. */
  constructor(max: number = MAX_HELD_BYTES_OF_GROUP) {
    this.#max = max;
  }

  /** False: the group has no room for so many bytes now. */
  take(group: string, bytes: number): boolean {
    const held = (this.#byGroup.get(group) ?? 0) + bytes;
    if (held > this.#max) return false;
    this.#byGroup.set(group, held);
    return true;
  }

  give(group: string, bytes: number): void {
    const left = (this.#byGroup.get(group) ?? 0) - bytes;
    if (left > 0 || this.#byGroup.size <= MAX_KNOWN_GROUPS) this.#byGroup.set(group, Math.max(0, left));
    else this.#byGroup.delete(group);
  }

  /** Bytes held by all groups. */
  get total(): number {
    return [...this.#byGroup.values()].reduce((sum, bytes) => sum + bytes, 0);
  }
}

/** What one exchange holds of its group's room. */
export class HeldShare {
  readonly #held: HeldBytes;
  readonly #group: string;
  #bytes = 0;

  constructor(held: HeldBytes, group: string) {
    this.#held = held;
    this.#group = group;
  }

  /** False: there is no room for so many bytes more. */
  take(bytes: number): boolean {
    if (!this.#held.take(this.#group, bytes)) return false;
    this.#bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#held.give(this.#group, bytes);
    this.#bytes -= bytes;
  }

  /** All of it. */
  giveBack(): void {
    if (this.#bytes > 0) this.#held.give(this.#group, this.#bytes);
    this.#bytes = 0;
  }
}
