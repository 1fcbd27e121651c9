/**
 * DNS messages of sandboxes: one question in, one answer out. What dns-packet decodes is judged here before anybody
 * believes it. Pure; `dns.ts` moves the bytes. RFC 1035; RFC 2308 for negative answers.
 */
import { AUTHORITATIVE_ANSWER, type DecodedPacket, decode, encode, RECURSION_AVAILABLE } from 'dns-packet';

export type DnsQuestion = {
  readonly id: number;
  /** as it was spelt: answers repeat it, case and all (clients check it) */
  readonly name: string;
  /** `A`, `AAAA`, or anything else */
  readonly type: string;
  readonly packet: DecodedPacket;
};

export type DnsAnswer = 'nodata' | 'nxdomain' | 'refused' | { readonly address: string };

type Problem = { readonly rcode: 'formerr' | 'notimp'; readonly id: number };

/** So that a rule that goes away is noticed, and a name is not asked for with every request. */
const TTL_S = 30;
const HEADER_BYTES = 12;
/** Header, the longest name, type and class. */
const MAX_QUESTION_BYTES = HEADER_BYTES + 255 + 4;
/** Where the header counts questions, and where what follows them (answers, authorities, additionals). */
const QUESTIONS_AT = 4;
const OTHERS_AT = 6;
const RCODES = { nodata: 0, formerr: 1, servfail: 2, nxdomain: 3, notimp: 4, refused: 5 } as const;
const RECURSION_DESIRED = 0x01_00;
const OPCODE_AND_QR = 0xf8_00;
const QR = 0x80_00;

/** The one question of a message. A problem is to be answered; null is not: a response, or too short for an id. */
export function readQuestion(bytes: Buffer): DnsQuestion | Problem | null {
  if (bytes.length < HEADER_BYTES) return null;
  const id = bytes.readUInt16BE(0);
  const flags = bytes.readUInt16BE(2) & OPCODE_AND_QR;
  if ((flags & QR) !== 0) return null;
  if (flags !== 0) return { rcode: 'notimp', id };
  const packet = bytes.readUInt16BE(QUESTIONS_AT) === 1 ? decoded(bytes) : null;
  const question = packet?.questions?.[0];
  if (packet === null || question === undefined) return { rcode: 'formerr', id };
  if (question.class !== undefined && question.class !== 'IN') return { rcode: 'notimp', id };
  return { id, name: question.name, type: question.type, packet };
}

/** The answer's bytes, without the length prefix of TCP. */
export function encodeAnswer(asked: DnsQuestion, answer: DnsAnswer): Buffer {
  const rcode = typeof answer === 'string' ? RCODES[answer] : 0;
  const wanted = ((asked.packet.flags ?? 0) & RECURSION_DESIRED) | RECURSION_AVAILABLE | AUTHORITATIVE_ANSWER;
  const address = typeof answer === 'string' ? null : answer.address;
  const type = address?.includes(':') === true ? 'AAAA' : 'A';
  return encode({
    type: 'response',
    id: asked.id,
    flags: wanted | rcode,
    questions: asked.packet.questions ?? [],
    answers: address === null ? [] : [{ type, name: asked.name, ttl: TTL_S, data: address }],
  });
}

/** The answer to a message that holds no question we can repeat. */
export function encodeProblem(problem: Problem): Buffer {
  return encode({ type: 'response', id: problem.id, flags: RCODES[problem.rcode] });
}

/**
 * The question alone. Records behind it say nothing to us (EDNS is passed over), and their names would point
 * backwards so often that one datagram kept the process busy for a second.
 */
function decoded(bytes: Buffer): DecodedPacket | null {
  const question = Buffer.from(bytes.subarray(0, MAX_QUESTION_BYTES));
  question.fill(0, OTHERS_AT, HEADER_BYTES);
  try {
    return decode(question);
  } catch {
    // The decoder throws on anything malformed.
    return null;
  }
}
