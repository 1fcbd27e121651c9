/**
 * In which charset a body says its text is. Frameworks write in the one that a client's Accept asks for (Spring does):
 * where ASCII is not written as ASCII, as in EBCDIC and UTF-32, no key could be found in an answer. A key that is put
 * into a request as ASCII is read as other text there, which an upstream may repeat. Used by `body-type.ts`, and by
 * `intercept/` for answers.
 */
const ANY_CHARSET = /\r\ncontent-type:[^\r\n]*charset/i;
const TYPE_LINE = /\r\ncontent-type:([^\r\n]*)/gi;
const CHARSET = /charset(\*?)[ \t]*=[ \t]*["']?[ \t]*([^"',;\s]*)/gi;
/** Names without dashes and underscores of charsets (IANA, WHATWG, Java) in which ASCII is written as ASCII, and of none. */
const WITH_ASCII =
  /^(?:|none|null|undefined|binary|utf8\w*|cesu8|(?:us)?ascii|iso8859\d{1,2}[ei]?|8859\d{1,2}|latin\d{1,2}|l\d{1,2}|windows(?:125\d|874|949|31j)|cp(?:125\d|9(?:32|36|49|50))|gbk|gb2312|gb18030|big5\w*|euc(?:jp|kr|tw|cn)|shiftjis|sjis|mskanji|iso2022(?:jp|kr|cn)\w*|koi8[rut]|mac\w*|xmac\w*|tis620|viscii|xuserdefined)$/;

/** May ASCII stand there as something else, or in an unknown charset. @param text head, latin-1 */
export function hidesAscii(text: string): boolean {
  return (
    ANY_CHARSET.test(text) && Array.from(text.matchAll(TYPE_LINE)).some(([, type = '']) => isForeign(type))
  );
}

/** The same of one value of Content-Type. */
export function isForeign(contentType: string): boolean {
  return Array.from(contentType.matchAll(CHARSET)).some(
    ([, extended, name = '']) =>
      // RFC 2231: what it says is encoded.
      extended !== '' || (name !== '' && !WITH_ASCII.test(name.toLowerCase().replace(/[-_]/g, ''))),
  );
}
