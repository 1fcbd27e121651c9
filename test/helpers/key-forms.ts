/** In which forms a key could show, for searching everything that a proxy wrote or said. */

/** As it is, a long part of it, JSON-escaped, percent-encoded, hex, and base64 in its three alignments. */
export function formsOf(value: string): readonly string[] {
  const bytes = Buffer.from(value);
  const hex = bytes.toString('hex');
  const percent = hex.replace(/../g, (pair) => `%${pair}`);
  const base64 = [0, 1, 2].flatMap((shift) => {
    const shifted = Buffer.concat([Buffer.alloc(shift), bytes]);
    // What its neighbours share with it at either end is not the key's alone.
    return (['base64', 'base64url'] as const).map((kind) =>
      shifted.toString(kind).slice(shift === 0 ? 0 : 4, -4),
    );
  });
  const all = [
    value,
    value.slice(-28, -4),
    JSON.stringify(value).slice(1, -1),
    encodeURIComponent(value),
    percent,
    percent.toUpperCase(),
    hex,
    hex.toUpperCase(),
    ...base64,
  ];
  return [...new Set(all)];
}

/** What holds which key, and how; an empty list: nothing does. Neither is quoted. */
export function keysShown(
  places: Readonly<Record<string, string>>,
  keys: Readonly<Record<string, string>>,
): readonly string[] {
  return Object.entries(keys).flatMap(([name, value]) =>
    formsOf(value).flatMap((form, index) =>
      Object.entries(places).flatMap(([place, text]) =>
        text.includes(form) ? [`${place} holds ${name} in form ${index}`] : [],
      ),
    ),
  );
}
