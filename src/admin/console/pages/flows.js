/** What is open now, and ending one of it. */
import { ask } from '../api.js';
import { linkTo } from '../route.js';
import { bytesText } from '../text.js';
import {
  Act,
  Empty,
  html,
  Moment,
  Said,
  Table,
  Trouble,
  useAnswer,
  useState,
  useWork,
  whyNot,
} from '../ui.js';

const MAX_SHOWN = 500;

export function Flows({ me, query }) {
  const { value, error, reload } = useAnswer('flows', {
    everyMs: 2_000,
    again: ({ kind }) => kind === 'end',
  });
  const work = useWork();
  const [cut, setCut] = useState(null);
  const [wanted, setWanted] = useState(query.filter ?? '');
  const filter = (text) => {
    setWanted(text);
    history.replaceState(null, '', linkTo('flows', { filter: text }));
  };
  const flows = value?.flows ?? [];
  const chosen = flows.filter((flow) =>
    [flow.host, flow.group, flow.identity, flow.treat].some((text) =>
      text.toLowerCase().includes(wanted.toLowerCase()),
    ),
  );
  const end = ({ id, host }) =>
    work.run(async () => {
      await ask('DELETE', `flows/${encodeURIComponent(id)}`);
      setCut(host);
      await reload();
    });
  return html`<h1>Flows</h1>
    <div class="filters" role="search"><label>Filter by host, group, identity
      <input type="search" value=${wanted} onInput=${({ target }) => filter(target.value)} /></label></div>
    <${Trouble} error=${work.error ?? error} />
    <p role="status" class="help">${cut === null ? '' : html`Cut: <${Said} text=${cut} max=${80} />`}</p>
    ${
      value === null
        ? html`<p class="empty">One moment…</p>`
        : chosen.length === 0
          ? html`<${Empty}>${flows.length === 0 ? 'Nothing is open now.' : 'Nothing that is open fits the filter.'}</${Empty}>`
          : html`<p class="help">${chosen.length} open${chosen.length > MAX_SHOWN ? `; the first ${MAX_SHOWN} are shown` : ''}</p>
        <${Table} label="Open connections" heads=${['Host', 'Group', 'Identity', 'How', 'Since', 'Up', 'Down', '']}>${chosen
          .slice(0, MAX_SHOWN)
          .map(
            (flow) => html`<tr key=${flow.id}><td><${Said} text=${flow.host} max=${80} code /></td>
            <td><${Said} text=${flow.group} max=${40} /></td><td><${Said} text=${flow.identity} max=${40} /></td>
            <td>${flow.treat}</td><td><${Moment} at=${flow.started} /></td>
            <td class="number">${bytesText(flow.bytes_up)}</td><td class="number">${bytesText(flow.bytes_down)}</td>
            <td class="links"><a href=${linkTo('audit', { flow: flow.id })}>Records</a>
              <${Act} kind="danger" why=${whyNot(me, 'approver')} busy=${work.busy} onClick=${() => end(flow)} label=${`Cut the connection to ${flow.host.slice(0, 80)}`}>Cut</${Act}></td></tr>`,
          )}</${Table}>`
    }`;
}
