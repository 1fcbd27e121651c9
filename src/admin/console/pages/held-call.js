/** One call that waits: what a person needs to judge it, and the answer. */
import { ask } from '../api.js';
import { shortened, spanText, visible } from '../text.js';
import { Act, html, Said, Trouble, useLayoutEffect, useRef, useState, useWork } from '../ui.js';

const BODY_CHARS = 4_000;

export function HeldCall({ call, over, said, why, current, choice, onChoose, onDecided }) {
  const left = Date.parse(call.expires) - Date.now();
  const blocked = over ? 'It is over.' : why;
  return html`<li class=${`call ${over ? 'over' : ''} ${current ? 'current' : ''}`} data-id=${call.id} tabindex="-1"
      aria-current=${current ? 'true' : null} onFocusIn=${() => current || over || onChoose(null)}>
    <h3><span class="tag info"><${Said} text=${call.method} max=${20} /></span> <${Said} text=${call.url} max=${300} code /></h3>
    <dl class="facts slim">
      <div><dt>Group</dt><dd><${Said} text=${call.group} max=${60} /></dd></div>
      <div><dt>Who</dt><dd><${Said} text=${call.identity} max=${60} /> <span class="help"><${Said} text=${call.client} max=${60} /></span></dd></div>
      <div><dt>Keys it would carry</dt><dd>${call.keys.length === 0 ? 'none' : html`<${Said} text=${call.keys.join(', ')} max=${200} />`}</dd></div>
      <div><dt>Waiting</dt><dd>${call.waiting}${call.same > call.waiting ? ` (${call.same} asked)` : ''}</dd></div>
      <div><dt>Left</dt><dd>${over ? 'over' : spanText(left)}</dd></div>
      <div><dt>A yes holds</dt><dd>${call.remember > 0 ? `for ${spanText(call.remember * 1000)}, if you say so` : 'for this once'}</dd></div>
      <div><dt>Rule</dt><dd><${Said} text=${`${call.rule.file}:${call.rule.line}`} max=${80} code /></dd></div>
    </dl>
    <${Body} of=${call.body} />
    ${call.not_before !== null && Date.parse(call.not_before) > Date.now() ? html`<p class="help">The cooldown of the rule lasts ${spanText(Date.parse(call.not_before) - Date.now())} more.</p>` : null}
    <p class="row" role="status">${over ? (said ?? 'It does not wait any more.') : ''}</p>
    ${
      choice === null || over
        ? html`<p class="row"><${Act} kind="main" why=${blocked} onClick=${() => onChoose('allow')}>Allow…</${Act}
          ><${Act} kind="danger" why=${blocked} onClick=${() => onChoose('deny')}>Deny…</${Act}></p>`
        : html`<${Answer} key=${choice} call=${call} choice=${choice} onBack=${() => onChoose(null)} onDecided=${onDecided} />`
    }
  </li>`;
}

function Body({ of }) {
  if (of === null) return null;
  const size = of.length === null ? `at least ${of.bytes} bytes` : `${of.length} bytes`;
  return html`<details class="body"><summary>Body: ${size}${of.type === null ? '' : html`, <${Said} text=${of.type} max=${60} />`}${of.whole ? '' : ' (the beginning is shown)'}</summary>
    ${of.text === null ? html`<p class="help">It is no text.</p>` : html`<pre><bdi>${visible(of.text.slice(0, BODY_CHARS), true)}</bdi></pre>`}</details>`;
}

function Answer({ call, choice, onBack, onDecided }) {
  const { busy, error, run } = useWork();
  const [remember, setRemember] = useState(false);
  const form = useRef(null);
  const allow = choice === 'allow';
  // Before the next key: the reason's first letter must not be one of the page's keys.
  useLayoutEffect(() => form.current?.querySelector('input:not([type=checkbox])')?.focus(), []);
  const submitted = (event) => {
    event.preventDefault();
    const { reason, code } = Object.fromEntries(new FormData(form.current));
    void run(async () => {
      const words = reason.trim();
      const body = {
        decision: choice,
        reason: words === '' ? null : words,
        ...(code ? { code: code.trim() } : {}),
        ...(allow ? { remember } : {}),
      };
      const { released } = await ask('POST', `approvals/${call.id}`, body);
      onDecided(`${allow ? 'Allowed' : 'Denied'} by you; ${released} ${allow ? 'went on' : 'refused'}.`);
    });
  };
  const { shown } = shortened(`${call.method} ${call.url}`, 60);
  return html`<form class="answer" ref=${form} onSubmit=${submitted} aria-label=${`${allow ? 'Allow' : 'Deny'} ${shown}`}
      onKeyDown=${(event) => {
        if (event.key !== 'Escape') return;
        event.stopPropagation();
        onBack();
      }}>
    <label>${allow ? 'Why (for the record)' : 'Why (the agent reads this)'}
      <input name="reason" maxlength="300" required=${!allow} autocomplete="off" /></label>
    ${allow && call.second_factor ? html`<label>One-time code <input name="code" inputmode="numeric" pattern="[0-9]{6,8}" required autocomplete="one-time-code" /></label>` : null}
    ${
      allow && call.remember > 0
        ? html`<label class="check"><input type="checkbox" checked=${remember} onChange=${({ target }) => setRemember(target.checked)} />
      and the same calls of this group for ${spanText(call.remember * 1000)}</label>`
        : null
    }
    <${Trouble} error=${error} />
    <p class="row"><button type="submit" class=${`act ${allow ? 'main' : 'danger'}`} disabled=${busy}>${allow ? 'Allow this call' : 'Deny this call'}</button>
      <button type="button" class="act" onClick=${onBack}>Back</button></p>
  </form>`;
}
