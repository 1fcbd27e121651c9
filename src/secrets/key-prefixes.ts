/**
 * How well-known kinds of keys begin: the public part that clients, secret scanners and agents look at and
 * that a placeholder therefore keeps. Read by `placeholder.ts`. A prefix here must hold nothing secret.
 */

/** Plain beginnings; the longest that fits is taken. Sources: the issuers' documentation of their keys. */
export const KEY_PREFIXES: readonly string[] = [
  // models
  'sk-ant-api03- sk-ant-oat01- sk-ant-admin01- sk-ant- sk-proj- sk-svcacct- sk-admin- sk-or-v1- sk-lf- pk-lf- sk-',
  'gsk_ xai- pplx- nvapi- r8_ hf_ tvly- fw_ AIzaSy AIza ya29. GOCSPX- lsv2_pt_ lsv2_sk_ esecret_ fc- jina_ pcsk_',
  // code hosts and package registries
  'github_pat_ ghp_ gho_ ghs_ ghu_ ghr_ glpat- gldt- glrt- glcbt- gloas- npm_ pypi- rubygems_ dckr_pat_ dckr_oat_',
  'ATBB ATATT3xFfGF0 CFPAT- lin_api_',
  // chat, mail, telephony, data
  'xoxb- xoxp- xoxa-2- xoxa- xoxr- xoxe.xoxp- xoxs- xoxc- xapp- SG. re_ key- ntn_ secret_ figd_ phc_ phx_ PMAK-',
  'pat-na1- pat-eu1- xkeysib-',
  // money and shops
  'sk_live_ sk_test_ rk_live_ rk_test_ pk_live_ pk_test_ whsec_ shpat_ shpss_ shpca_ shppa_ sq0atp- sq0csp- EAAA',
  // clouds and operations
  'AKIA ASIA ABIA ACCA dop_v1_ doo_v1_ glsa_ glc_ hvs. hvb. hvr. s. sbp_ sb_secret_ sb_publishable_ tskey-auth-',
  'tskey-api- tskey- dp.pt. dp.st. ops_ sntrys_ sntryu_ NRAK- rnd_ fo1_ pscale_pw_ pscale_tkn_ pul- dapi vcp_',
].flatMap((line) => line.split(' '));

/** Beginnings that only the whole form tells from an ordinary text; the first group is the prefix. */
const FORMS: readonly RegExp[] = [
  /^(\d{6,12}:)[\w-]{35}$/, // Telegram: the bot's public number
  /^(AC|SK|AP|MG)[0-9a-f]{32}$/, // Twilio
  /^([MNO][\w-]{23,27}\.)[\w-]{6,7}\.[\w-]{27,}$/, // Discord: the bot's public number in base64
  /^(eyJ[\w-]{10,200}\.)[\w-]+\.[\w-]+$/, // JSON Web Token: the header
];

const BY_LENGTH = KEY_PREFIXES.toSorted((a, b) => b.length - a.length);

/** The public beginning of `value`, or an empty string. Never the whole value. */
export function wellKnownPrefix(value: string): string {
  for (const form of FORMS) {
    const prefix = form.exec(value)?.[1];
    if (prefix !== undefined) return prefix;
  }
  return BY_LENGTH.find((prefix) => value.length > prefix.length && value.startsWith(prefix)) ?? '';
}
