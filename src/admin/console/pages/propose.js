/**
 * A rule for a host that was blocked, as YAML to review: the narrowest that lets through what the record has of this
 * group and host. No file is touched.
 */
import { queryOf } from '../api.js';
import { linkTo } from '../route.js';
import { Act, Empty, html, Said, Trouble, useAnswer, useState } from '../ui.js';

/** What may stand in a rule: a name in A-labels, or an address. */
const HOST = /^(?=.{1,253}$)[a-z0-9_-]+(\.[a-z0-9_-]+)*$|^[0-9a-f:.]{2,45}$/;
const PATH = /^\/[A-Za-z0-9._~!$&'()+,;=:@%/-]*$/;
const MAX_PATHS = 20;

/** YAML of the rule; null where the record has no name that a rule could hold. */
export function proposal({ host, records }) {
  if (!HOST.test(host)) return null;
  const ports = unique(
    records.map(({ port }) => port).filter((port) => port !== null && port !== 443 && port !== 80),
  );
  const requests = records.filter(
    ({ stage, method, path }) => stage === 'request' && method !== null && path !== null,
  );
  const methods = unique(requests.map(({ method }) => method).filter((method) => /^[A-Z]+$/.test(method)));
  const asked = unique(requests.map(({ path }) => path.split('?', 1)[0]));
  const paths = asked.filter((path) => PATH.test(path));
  const lines = [`  - allow: "${host}"`];
  if (ports.length > 0) lines.push(`    ports: [${[443, ...ports].join(', ')}]`);
  lines.push(`    methods: [${(methods.length > 0 ? methods : ['GET', 'HEAD']).join(', ')}]`);
  if (paths.length > 0)
    lines.push(
      `    paths: [${paths
        .slice(0, MAX_PATHS)
        .map((path) => JSON.stringify(path))
        .join(', ')}]`,
    );
  return {
    yaml: `${lines.join('\n')}\n`,
    seen: paths.length > 0,
    left: asked.length - Math.min(paths.length, MAX_PATHS),
  };
}

function unique(values) {
  return [...new Set(values)].toSorted((one, other) => (one < other ? -1 : 1));
}

export function Propose({ query }) {
  const { group = '', host = '' } = query;
  if (group === '' || host === '') {
    return html`<h1>Propose a rule</h1><${Empty}>Choose a blocked host on the <a href="#/overview">overview</a>.</${Empty}>`;
  }
  return html`<h1>Propose a rule</h1>
    <p>For <${Said} text=${host} max=${120} code /> and the group <${Said} text=${group} max=${60} />.</p>
    <${Rule} key=${`${group} ${host}`} group=${group} host=${host} />
    <p class="links"><a href=${linkTo('audit', { group, host })}>Records</a> <a href=${linkTo('explain', { group, url: `https://${host}/` })}>Explain</a></p>`;
}

function Rule({ group, host }) {
  const { value, error } = useAnswer(
    `audit${queryOf({ kind: 'decision', group, host: host.slice(0, 512), limit: 500 })}`,
  );
  const groups = useAnswer('groups');
  const file = groups.value?.groups.find((one) => one.group === group)?.file ?? null;
  if (value === null) {
    return error === null ? html`<p class="empty">One moment…</p>` : html`<${Trouble} error=${error} />`;
  }
  const made = proposal({ host, records: value.records });
  if (made === null) {
    return html`<${Empty}>No rule can name this: it is neither a host name nor an address. It stays refused.</${Empty}>`;
  }
  const seen = `It lets through the methods and paths that the last ${value.records.length} decisions about it have, and nothing else.`;
  const unseen =
    'No request with a path that a rule could list was seen: every path would pass, and without requests the methods are a guess.';
  return html`<p>${made.seen ? seen : unseen}${made.left === 0 ? '' : ` Paths that were asked for and are not in it: ${made.left}.`}</p>
    <p>Review it as what it is, a wish of the sandbox; then put it above the rules that refuse, in ${file === null ? 'the file of the group' : html`<${Said} text=${file} max=${120} code />`}. Nothing was changed.</p>
    <pre class="yaml"><bdi>${made.yaml}</bdi></pre>
    <${Copy} text=${made.yaml} />`;
}

function Copy({ text }) {
  const [copied, setCopied] = useState(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied('Copied.');
    } catch {
      setCopied('The browser does not allow it; mark the text.');
    }
  };
  return html`<p class="row"><${Act} onClick=${copy}>Copy</${Act}> <span role="status">${copied}</span></p>`;
}
