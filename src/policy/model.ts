/**
 * The compiled form of the policy files: what `config/load.ts` makes of YAML, what `decide.ts` walks and
 * what identity, secrets, admin and metrics read. Types only. Everything is frozen after loading.
 */
import type { LRUCache } from 'lru-cache';
import type { Denied, Reason, RuleRef } from '../flow/reason.ts';
import type { Cidr, Treat, Verdict } from '../flow/verdict.ts';
import type { HostPattern, PortUse } from './host-pattern.ts';
import type { PathPattern } from './path-pattern.ts';
import type { Rate } from './units.ts';

/** Where in a request a placeholder of a key may stand. */
export type Place =
  | { readonly kind: 'header'; readonly name?: string }
  | { readonly kind: 'basic' }
  | { readonly kind: 'query'; readonly name?: string }
  | { readonly kind: 'path' }
  | { readonly kind: 'body' }
  | { readonly kind: 'websocket' };

/** `mint` is no place: the value is asked for by what stands in another one. */
export type SourceKind = 'vault' | 'env' | 'file' | 'stronghold' | 'kv' | 'command' | 'mint';

/** Where a key's value is kept. */
export type SourceRef = {
  readonly kind: SourceKind;
  /** what follows the colon */
  readonly name: string;
  /** as written; a variable that `stronghold:` and the profile that `mint:` leaves out is put in */
  readonly text: string;
  /** of `mint:` alone */
  readonly mint?: MintSpec;
};

/** How a key that is valid for a while is asked for. */
export type MintSpec = {
  /** `https://host:port` */
  readonly origin: string;
  /** with its query */
  readonly path: string;
  /** what proves that we may have it: a client secret, or a private key as PEM */
  readonly credential: SourceRef;
} & (
  | {
      readonly kind: 'client_credentials';
      readonly clientId: string;
      readonly auth: 'basic' | 'body' | 'private_key_jwt';
      readonly assertion?: {
        readonly alg: string;
        readonly keyId: string | null;
        readonly audience: string;
      };
      /** further form fields: scope, audience, resource */
      readonly fields: readonly (readonly [name: string, value: string])[];
    }
  | {
      readonly kind: 'github_app';
      readonly appId: string;
      /** null: all */
      readonly repositories: readonly string[] | null;
      /** null: all */
      readonly permissions: Readonly<Record<string, 'read' | 'write' | 'admin'>> | null;
    }
);

export type PlaceholderAlphabet =
  | 'hex'
  | 'base62'
  | 'base64'
  | 'base64url'
  | 'base32'
  | 'lower'
  | 'upper'
  | 'digits';

/** A placeholder shaped by hand. */
export type PlaceholderShape = {
  readonly prefix: string;
  /** characters in all, prefix included */
  readonly length: number;
  readonly alphabet: PlaceholderAlphabet;
  /** random bits that it must have, where that is not what every placeholder has */
  readonly bits?: number;
};

/** Which requests an AWS key set may sign; one object for the members of one set. */
export type AwsSet = {
  /** null: every one */
  readonly regions: readonly string[] | null;
  /** null: every one */
  readonly services: readonly string[] | null;
};

/** One key of a profile, as a group may use it. */
export type SecretSpec = {
  /** environment variable that the sandbox sees */
  readonly env: string;
  readonly from: SourceRef;
  readonly hosts: readonly HostPattern[];
  readonly places: readonly Place[];
  readonly placeholder?: PlaceholderShape | 'pem';
  /** part of an AWS key set: never put anywhere by itself, so without places */
  readonly aws?: { readonly role: 'id' | 'secret' | 'token'; readonly set: AwsSet };
  readonly profile: string;
  readonly at: RuleRef;
};

type RuleBase = {
  readonly ref: RuleRef;
  /** position in its list, 0-based */
  readonly index: number;
  readonly hosts: readonly HostPattern[];
  /** upper-case tokens; `null`: every method */
  readonly methods: ReadonlySet<string> | null;
  /** `null`: every path */
  readonly paths: readonly PathPattern[] | null;
};

/** What an `allow` and an `approve` rule say of the connection. */
export type Grant = {
  readonly addresses: readonly Cidr[];
  /** `tls: tunnel`: never intercepted */
  readonly tunnel: boolean;
  /** `null`: not said, so `tls` on 443 and `any` elsewhere */
  readonly protocol: 'tls' | 'any' | null;
  readonly idleMs: number;
  /** `http2: prefer` */
  readonly prefersH2: boolean;
};

export type AllowRule = RuleBase & Grant & { readonly kind: 'allow' };
export type ApproveRule = RuleBase &
  Grant & {
    readonly kind: 'approve';
    readonly waitMs: number;
    readonly rememberMs: number;
    /** after a no the same request is refused at once, after a yes no other of the rule is allowed, for so long */
    readonly cooldownMs: number;
    readonly secondFactor: boolean;
  };
export type DenyRule = RuleBase & {
  readonly kind: 'deny';
  /** the operator's words for the agent */
  readonly reason: string | undefined;
};
export type CompiledRule = AllowRule | ApproveRule | DenyRule;

export type GroupLimits = {
  /** open at once */
  readonly connections?: number;
  readonly requests?: Rate;
  /** bytes */
  readonly upload?: Rate;
  /** bytes */
  readonly download?: Rate;
};

/** One rule that fits a host and port, and what it says when method and path fit as well. */
export type HostStep = {
  readonly rule: CompiledRule;
  readonly pattern: HostPattern;
  /** stands in the guardrails: monitor mode does not lift it */
  readonly guard: boolean;
  readonly verdict: Verdict;
};

/** What the rules make of one host and port: computed once, then cached. */
export type HostRules = {
  /** in order, up to the first one that needs no look at the request */
  readonly steps: readonly HostStep[];
  readonly treat: Treat;
  /** stage one */
  readonly connect: Verdict;
  /** what to say when no step fits */
  readonly otherwise: Denied;
  readonly judgesRequests: boolean;
  readonly judgesPaths: boolean;
  /** a guardrail judges methods or paths: an ambiguous path is refused in monitor mode, too */
  readonly guarded: boolean;
  /** text of the pattern that opens the host, for metric labels */
  readonly label: string | null;
};

/** The answers for one host, by port and by what is spoken there. */
type CachedRules = { readonly port: number; readonly use: PortUse; readonly rules: HostRules };

export type CompiledGroup = {
  readonly name: string;
  readonly description?: string;
  readonly mode: 'enforce' | 'monitor';
  /** CIDRs, canonical */
  readonly sources: readonly Cidr[];
  readonly token: 'optional' | 'required';
  readonly refuse: 'on_connect' | 'inside';
  readonly rules: readonly CompiledRule[];
  /** usable ones: `exclude` is applied */
  readonly secrets: readonly SecretSpec[];
  /** keys of the profile, excluded ones too */
  readonly secretTotal: number;
  readonly excluded: readonly string[];
  /** keys of the profile that are excluded: their placeholders, issued before, are still known as such; absent: none */
  readonly hidden?: readonly SecretSpec[];
  readonly profile?: string;
  readonly limits?: GroupLimits;
  readonly tests?: readonly PolicyTest[];
  readonly file: string;
  /** answers per host; absent: computed every time. A sandbox can name unlimited hosts: capped */
  readonly cache?: LRUCache<string, CachedRules[]>;
};

/** One row of a `tests:` section. */
export type PolicyTest = {
  /** as written: `GET https://host/path`, or `CONNECT host:port` */
  readonly request: string;
  readonly expect: 'allow' | 'deny' | 'approve';
  readonly reason?: Reason | undefined;
  readonly treat?: Treat | undefined;
  /** environment names of the keys that would be swapped, in any order */
  readonly keys?: readonly string[] | undefined;
  /** text of the rule that must decide, for example `allow api.openai.com` */
  readonly rule?: string | undefined;
  /** a client address that must belong to this group */
  readonly from?: string | undefined;
  readonly at: RuleRef;
};

export type PolicySet = {
  readonly groups: ReadonlyMap<string, CompiledGroup>;
  readonly guardrails: readonly CompiledRule[];
  readonly enforceOnly: boolean;
  /** first 12 hex digits of the SHA-256 over all files; set by `config/load.ts` */
  readonly hash: string;
  readonly warnings: readonly Problem[];
};

/** What is wrong with a file, for people. */
export type Problem = {
  readonly file: string;
  /** 1-based; 0 when the whole file is meant */
  readonly line: number;
  /** 1-based; 0 when the whole file is meant */
  readonly column: number;
  readonly message: string;
  readonly fix: string;
};
