/**
 * Words of others (hosts, paths, bodies, names, reasons) as a terminal may have them: printable ASCII, everything else as its
 * code, since it could move a cursor, turn the direction of writing, or look like another letter. Used by all commands
 * that show what sandboxes or people wrote.
 */

const UNSAFE = /[^ -~]/g;

/** `max`: characters at most; a text that is longer ends in `~`. */
export function safe(text: string, max = Number.POSITIVE_INFINITY): string {
  // What is cut off need not be escaped: a text may be far longer than what is shown of it.
  const shown = text.slice(0, max).replaceAll(UNSAFE, escaped);
  return text.length > max || shown.length > max ? `${shown.slice(0, max - 1)}~` : shown;
}

/** JSON whose strings are ASCII: what JSON leaves as it is (C1 controls, marks of direction) acts on terminals, too. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replaceAll(/[\x7f-\uffff]/g, escaped);
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
