/**
 * One request that a sandbox signed with the placeholders of an AWS key set, signed again with the real set: the old
 * signature is verified first, the new one covers exactly what goes upstream. Used by `intercept/`; invariants I5, I6.
 */
import { type Denied, denied, isDenied } from '../flow/reason.ts';
import { type Authority, authorityText } from '../flow/target.ts';
import type { Binding } from '../secrets/binding.ts';
import type { KeySet } from '../secrets/key-set.ts';
import { renderValue } from '../secrets/render.ts';
import { canonicalQuery, canonicalRequest, pathForms, scopeText, stringToSign } from './canonical.ts';
import { type Claim, momentOf, partsOf, readClaim, type SignedParts } from './claim.ts';
import { putCredential, putSignature, putToken, targetOf, vacate } from './head-edit.ts';
import { type Signer, sha256, signerFor } from './signer.ts';
import { handsOutKeys, judgesBody } from './sts.ts';

/** How far a request's date may be from now, either way: what AWS itself takes. */
const MAX_SKEW_MS = 15 * 60_000;

export const OTHER = 'other';

export type ResignAsk = {
  readonly method: string;
  /** origin-form */
  readonly path: string;
  /** the client's head, latin-1 */
  readonly head: string;
  /** those of this identity that are bound to the host */
  readonly sets: readonly KeySet[];
  readonly at: Authority;
  /** is the upstream connection TLS that was verified */
  readonly secure: boolean;
  /** milliseconds since the epoch */
  readonly now: number;
};

/** What was signed, with both keys, for what follows the head. */
export type Resigned = {
  readonly head: string;
  /** for chunks, whose signatures hang on the one of the head */
  readonly own: Signer;
  readonly ownSignature: string;
  readonly real: Signer;
  readonly realSignature: string;
};

/**
 * The signature of this request, null where it has none of AWS's, `OTHER` where another key made it than one of the
 * sets, or why it is refused: `bad_request`, `placeholder_wrong_host`, `placeholder_wrong_place`,
 * `placeholder_unknown`, `secret_requires_tls`.
 */
export function findSignature(ask: ResignAsk): Resigning | Denied | typeof OTHER | null {
  const parts = partsOf(ask.head, ask.method, ask.path);
  const claim = readClaim(parts);
  if (claim === null || isDenied(claim)) return claim;
  const set = ask.sets.find(({ id }) => id.placeholder === claim.id);
  if (set === undefined) return OTHER;
  const why = unfit(ask, claim, set);
  return why ?? new Resigning(claim, parts, set);
}

function unfit(ask: ResignAsk, claim: Claim, set: KeySet): Denied | null {
  if (!ask.secure)
    return denied('secret_requires_tls', 'A request is signed again inside verified TLS only.');
  const { region, service } = claim.scope;
  const { services = null, regions = null } = set.id.spec.aws?.set ?? {};
  if (services?.includes(service) === false || regions?.includes(region) === false) {
    const where = `${service} in ${region} at ${authorityText(ask.at)}`;
    return denied('placeholder_wrong_host', `The key set may not sign for ${where}.`);
  }
  if (claim.token !== null && claim.token !== set.token?.placeholder) {
    return denied('placeholder_unknown', 'The session token is not the one of the key set.');
  }
  return untimely(claim, ask.now);
}

function untimely(claim: Claim, now: number): Denied | null {
  const ahead = momentOf(claim.at) - now;
  const goodForMs = claim.expires === null ? MAX_SKEW_MS : claim.expires * 1000;
  if (ahead <= MAX_SKEW_MS && -ahead <= goodForMs) return null;
  const how = claim.expires === null ? 'is more than 15 minutes from now' : 'is over or far ahead';
  return denied('placeholder_wrong_place', `The time of the AWS signature ${how}; is the clock right?`);
}

export class Resigning {
  readonly claim: Claim;
  readonly #parts: SignedParts;
  readonly #set: KeySet;

  constructor(claim: Claim, parts: SignedParts, set: KeySet) {
    this.claim = claim;
    this.#parts = parts;
    this.#set = set;
  }

  /** Names of the variables whose keys are used. */
  get keys(): readonly string[] {
    const { id, secret, token } = this.#set;
    return [id.env, secret.env, ...(token === null ? [] : [token.env])];
  }

  /** The body must be there before anything can be said. */
  get needsBody(): boolean {
    return this.claim.payload === null || this.readsBody;
  }

  /** What the body says matters, not only its hash. */
  get readsBody(): boolean {
    return judgesBody(this.claim);
  }

  /** A head without what was found here: any placeholder that is left stands where it should not. */
  vacate(head: string): string {
    return vacate(head, this.claim);
  }

  /**
   * @param head as it goes upstream, `vacate`d. @param body its SHA-256 in hex, and its text where `readsBody`; both
   * need be right only where `needsBody`
   * @returns the head to send; `placeholder_wrong_place` where the placeholders did not make the signature, or
   * `secret_unavailable`
   */
  async sign(
    head: string,
    body: { readonly hash: string; readonly text: string },
  ): Promise<Resigned | Denied> {
    const { claim } = this;
    const harm = handsOutKeys(claim, this.#parts, body.text);
    if (harm !== null) return harm;
    const payload = claim.payload ?? body.hash;
    const { id, secret } = this.#set;
    const own = await signerFor(
      { accessKeyId: id.placeholder, secretAccessKey: secret.placeholder },
      claim.scope,
    );
    const form = this.#verifiedForm(own, payload);
    if (form === -1) {
      own.drop();
      return denied(
        'placeholder_wrong_place',
        'The AWS signature is not one of the placeholder set over this very request.',
      );
    }
    const signed = await this.#signAnew(head, { form, payload });
    if (isDenied(signed)) {
      own.drop();
      return signed;
    }
    return { ...signed, own, ownSignature: claim.signature };
  }

  /** Which form of the path verifies under the placeholders; -1: none. */
  #verifiedForm(own: Signer, payload: string): number {
    const { claim } = this;
    const { method, path, pairs, fields } = this.#parts;
    const query = canonicalQuery(pairs);
    const { signedHeaders } = claim;
    if (!signedHeaders.every((name) => fields.some((field) => field.name === name))) return -1;
    const verifies = (written: string): boolean => {
      const text = canonicalRequest({ method, path: written, query, fields, signedHeaders, payload });
      return own.verifies(stringToSign(claim.at, claim.scope, sha256(text)), claim.signature);
    };
    return pathForms(path, claim.scope.service).findIndex(verifies);
  }

  async #signAnew(
    vacated: string,
    as: { readonly form: number; readonly payload: string },
  ): Promise<Omit<Resigned, 'own' | 'ownSignature'> | Denied> {
    const { claim } = this;
    const values = valuesOf(this.#set);
    if (values === null)
      return denied('secret_unavailable', 'The key set behind the placeholders is not available now.');
    const real = await signerFor(values, claim.scope);
    const tokened = values.token === null ? vacated : putToken(vacated, claim, values.token);
    const credential = `${values.accessKeyId}/${scopeText(claim.scope)}`;
    // What the proxy leaves out (hop-by-hop fields) or adds (the token) is not what the client signed.
    const present = (head: string) => partsOf(head, this.#parts.method, targetText(head));
    const { fields } = present(tokened);
    const names = new Set(claim.signedHeaders.filter((name) => fields.some((field) => field.name === name)));
    if (values.token !== null && claim.carrier === 'header') names.add('x-amz-security-token');
    const signedHeaders = [...names].sort();
    const list = signedHeaders.join(';');
    const head = claim.carrier === 'query' ? putCredential(tokened, credential, list) : tokened;
    const { method, path: sent, pairs } = present(head);
    const path = pathForms(sent, claim.scope.service)[as.form] ?? sent;
    const query = canonicalQuery(pairs);
    const text = canonicalRequest({
      method,
      path,
      query,
      fields,
      signedHeaders,
      payload: as.payload,
    });
    const realSignature = real.sign(stringToSign(claim.at, claim.scope, sha256(text)));
    const by = { credential, signedHeaders: list, signature: realSignature };
    return { head: putSignature(head, claim, by), real, realSignature };
  }
}

type Values = {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly token: string | null;
};

/** All of one moment: a set that rotates is never mixed. */
function valuesOf({ id, secret, token }: KeySet): Values | null {
  const accessKeyId = textOf(id);
  const secretAccessKey = secret.value()?.expose().toString('utf8') ?? null;
  const session = token === null ? null : textOf(token);
  if (accessKeyId === null || secretAccessKey === null || /[\s/,]/.test(accessKeyId)) return null;
  if (token !== null && session === null) return null;
  return { accessKeyId, secretAccessKey, token: session };
}

function textOf(binding: Binding): string | null {
  const value = binding.value();
  return value === null ? null : renderValue(value, { kind: 'header', name: 'authorization' });
}

function targetText(head: string): string {
  const { from, to } = targetOf(head);
  return head.slice(from, to);
}
