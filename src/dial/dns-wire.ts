/**
 * DNS messages for the resolver: one question out, one answer in. Pure; `dns-query.ts` moves the bytes.
 * RFC 1035 for the format, RFC 2181 section 5.2 for TTLs, RFC 2308 for "no such name" and "no such data".
 * No EDNS: 512 bytes hold the usual answer, and TC leads to TCP for the rest (RFC 7766), which spares
 * us the servers that stumble over OPT records.
 */
import { type Answer, type DecodedPacket, decode, encode, RECURSION_DESIRED } from 'dns-packet';
import { parseAddress } from '../wire/authority.ts';

export type QueryType = 'A' | 'AAAA';

/** One question under way: an answer counts only when it repeats all three. */
export type Question = { readonly id: number; readonly name: string; readonly type: QueryType };

export type Reply =
  | { readonly kind: 'addresses'; readonly addresses: readonly string[]; readonly ttlS: number }
  /** NXDOMAIN speaks for every type of the name, NODATA for the asked one */
  | { readonly kind: 'none'; readonly nxdomain: boolean }
  /** ask again over TCP */
  | { readonly kind: 'truncated' }
  /** this server cannot help: SERVFAIL, REFUSED, a lame referral, a chain that does not end */
  | { readonly kind: 'failed' };

/** Longer CNAME chains are loops or traps. */
const MAX_CNAMES = 8;
/** Every answer is judged; a name with more records than this is not served. */
const MAX_ANSWERS = 256;
/** RFC 2181 section 8 */
const MAX_TTL_S = 0x7fffffff;
const NXDOMAIN = 3;

/** The query for one name and type, recursion desired; bytes without the TCP length prefix. */
export function encodeQuery(asked: Question): Buffer {
  return encode({
    type: 'query',
    id: asked.id,
    flags: RECURSION_DESIRED,
    questions: [{ type: asked.type, class: 'IN', name: asked.name }],
  });
}

/**
 * Reads one message. `null` when the bytes are not an answer to `asked` (malformed, other id, other
 * question, not a response): the caller keeps waiting, because anybody can send those.
 */
export function readReply(bytes: Buffer, asked: Question): Reply | null {
  const packet = decodeOrNull(bytes);
  if (packet === null || !answersTo(packet, asked)) return null;
  if (packet.flag_tc) return { kind: 'truncated' };
  const rcode = (packet.flags ?? 0) & 0xf;
  if (rcode === NXDOMAIN) return { kind: 'none', nxdomain: true };
  if (rcode !== 0) return { kind: 'failed' };
  const answers = packet.answers ?? [];
  if (answers.length > MAX_ANSWERS) return { kind: 'failed' };
  // An empty answer without AA and RA is a referral by a server that does not recurse: says nothing of the name.
  if (answers.length === 0 && !packet.flag_aa && !packet.flag_ra) return { kind: 'failed' };
  return followChain(answers, asked);
}

function decodeOrNull(bytes: Buffer): DecodedPacket | null {
  try {
    return decode(bytes);
  } catch {
    // The decoder throws on anything malformed; such a packet answers nothing.
    return null;
  }
}

function answersTo(packet: DecodedPacket, asked: Question): boolean {
  const question = packet.questions?.[0];
  return (
    packet.flag_qr &&
    packet.id === asked.id &&
    packet.questions?.length === 1 &&
    question !== undefined &&
    question.type === asked.type &&
    question.class === 'IN' &&
    plainName(question.name) === asked.name
  );
}

/** Addresses at the end of the CNAME chain that starts at the asked name; other records are ignored. */
function followChain(answers: readonly Answer[], asked: Question): Reply {
  let at = asked.name;
  let ttlS = MAX_TTL_S;
  for (let hop = 0; hop <= MAX_CNAMES; hop += 1) {
    const step = stepAt(answers, at, asked.type);
    ttlS = Math.min(ttlS, step.ttlS);
    if (step.addresses.length > 0) return canonical(step.addresses, ttlS);
    if (step.alias === null) return { kind: 'none', nxdomain: false };
    at = step.alias;
  }
  return { kind: 'failed' };
}

type Step = { readonly addresses: readonly string[]; readonly alias: string | null; readonly ttlS: number };

/** What the answer says of one owner name: its addresses of the asked type, else where it points to. */
function stepAt(answers: readonly Answer[], at: string, type: QueryType): Step {
  const addresses: string[] = [];
  let alias: string | null = null;
  let ttlS = MAX_TTL_S;
  for (const record of answers) {
    if (plainName(record.name) !== at) continue;
    if (record.type !== type && record.type !== 'CNAME') continue;
    ttlS = Math.min(ttlS, ttlOf(record.ttl));
    if (record.type === 'CNAME') alias ??= plainName(record.data);
    else addresses.push(record.data);
  }
  return { addresses, alias, ttlS };
}

function canonical(texts: readonly string[], ttlS: number): Reply {
  const addresses = new Set<string>();
  for (const text of texts) {
    const address = parseAddress(text);
    if (address === null) return { kind: 'failed' };
    addresses.add(address.host);
  }
  return { kind: 'addresses', addresses: [...addresses], ttlS };
}

/** RFC 2181 section 8: a TTL with the top bit set counts as zero. */
function ttlOf(ttl: number | undefined): number {
  return ttl === undefined || ttl > MAX_TTL_S ? 0 : ttl;
}

function plainName(name: string): string {
  return (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase();
}
