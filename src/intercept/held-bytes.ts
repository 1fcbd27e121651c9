/**
 * What is held of WebSocket messages until they are whole, per group: a group that begins large messages everywhere
 * spends its own budget and nobody else's. Made once by `proxy.ts`.
 */
const MAX_HELD_BYTES_OF_GROUP = 64 * 1024 * 1024;

export class HeldBytes {
  /** only groups that hold something: no more than there are groups */
  readonly #byGroup = new Map<string, number>();

  /** False: the group has no room for so many bytes now. */
  take(group: string, bytes: number): boolean {
    const held = (this.#byGroup.get(group) ?? 0) + bytes;
    if (held > MAX_HELD_BYTES_OF_GROUP) return false;
    this.#byGroup.set(group, held);
    return true;
  }

  give(group: string, bytes: number): void {
    const left = (this.#byGroup.get(group) ?? 0) - bytes;
    if (left > 0) this.#byGroup.set(group, left);
    else this.#byGroup.delete(group);
  }

  /** Bytes held by all groups. */
  get total(): number {
    return [...this.#byGroup.values()].reduce((sum, bytes) => sum + bytes, 0);
  }
}
