/**
 * What all pages are made of: the two packages by one name each, small elements, and the hook by which a page shows an
 * answer of the API and asks again when the live stream says that it changed.
 */
import htm from 'htm';
import { h, render } from 'preact';
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { ask } from './api.js';
import { listen } from './live.js';
import { momentText, shortened, spanText, words } from './text.js';

export const html = htm.bind(h);
export { render, useCallback, useEffect, useLayoutEffect, useRef, useState };

/** Live events come in crowds: ask at most this often. */
const ASK_AGAIN_MS = 1_000;
const ROLES = ['viewer', 'approver', 'admin'];

/** May this operator do what needs `role`; the words why not, else null. */
export function whyNot(me, role) {
  return ROLES.indexOf(me.role) >= ROLES.indexOf(role)
    ? null
    : `This needs the role ${role}; yours is ${me.role}.`;
}

/** Text that somebody else chose. */
export function Said({ text, max, code }) {
  if (text === null || text === undefined) return html`<span class="none">none</span>`;
  const { shown, title } = shortened(text, max);
  return html`<bdi class=${code ? 'said code' : 'said'} title=${title}>${shown}</bdi>`;
}

export function Moment({ at }) {
  if (at === null || at === undefined) return html`<span class="none">never</span>`;
  return html`<time datetime=${at} title=${`${spanText(Date.now() - Date.parse(at))} ago`}>${momentText(at)}</time>`;
}

const VERDICTS = { allow: 'good', deny: 'bad', would_deny: 'warn', approve: 'info' };
const NAMES = { allow: 'allowed', deny: 'refused', would_deny: 'would be refused', approve: 'asks a person' };

export function Verdict({ of }) {
  return html`<span class=${`tag ${VERDICTS[of] ?? ''}`}>${NAMES[of] ?? words(of)}</span>`;
}

export function Reason({ code }) {
  return code === null || code === undefined
    ? null
    : html`<span class="reason" title=${code}>${words(code)}</span>`;
}

export function Empty({ children }) {
  return html`<p class="empty">${children}</p>`;
}

export function Trouble({ error }) {
  return error === null ? null : html`<p class="trouble" role="alert">${error.message}</p>`;
}

/** A button that says why it cannot be pressed. */
export function Act({ why = null, kind = '', onClick, children, busy = false, label, type = 'button' }) {
  return html`<button type=${type} class=${`act ${kind}`} aria-disabled=${why !== null || busy} title=${why}
    aria-label=${label} onClick=${(event) => {
      if (why !== null || busy) event.preventDefault();
      else onClick?.(event);
    }}>${children}${why === null ? null : html`<span class="away"> (${why})</span>`}</button>`;
}

/** A table that may be wider than the screen; scrolls by keyboard as well. */
export function Table({ label, heads, children }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table><thead><tr>${heads.map((head) => html`<th scope="col">${head === '' ? html`<span class="away">Actions</span>` : head}</th>`)}</tr></thead>
    <tbody>${children}</tbody></table></div>`;
}

/** Runs `work` once at a time; what went wrong is kept to be shown. */
export function useWork() {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const running = useRef(false);
  const run = useCallback(async (work) => {
    if (running.current) return false;
    running.current = true;
    setBusy(true);
    setError(null);
    try {
      await work();
      return true;
    } catch (found) {
      setError(found);
      return false;
    } finally {
      running.current = false;
      setBusy(false);
    }
  }, []);
  return { busy, error, run };
}

/** Is a key one of the page's own: nobody is writing, and it is not the browser's. */
function isShortcut({ target, ctrlKey, metaKey, altKey }) {
  if (ctrlKey || metaKey || altKey) return false;
  return !(target instanceof Element) || target.closest('input, textarea, select, dialog') === null;
}

/** What single keys do, by the state of the last drawing: people press faster than effects run. */
export function useShortcuts(does) {
  const latest = useRef(does);
  latest.current = does;
  useEffect(() => {
    const pressed = (event) => {
      if (!isShortcut(event) || !Object.hasOwn(latest.current, event.key)) return;
      // The letter is not for the field that opens.
      event.preventDefault();
      latest.current[event.key]();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

export function useLive(told) {
  const latest = useRef(told);
  latest.current = told;
  useEffect(() => listen((event) => latest.current(event)), []);
}

/**
 * The answer to GET `path` (null: nothing to ask), asked anew when `again(event)` is true of a live event, and every `everyMs` if given.
 * An answer that was overtaken by a later question is not shown.
 */
export function useAnswer(path, { again = () => false, everyMs = 0 } = {}) {
  const [state, setState] = useState({ path, value: null, error: null });
  const turn = useRef({ number: 0, timer: null, last: 0 });
  const reload = useCallback(async () => {
    if (path === null) return;
    const number = ++turn.current.number;
    turn.current.last = Date.now();
    try {
      const value = await ask('GET', path);
      if (number === turn.current.number) setState({ path, value, error: null });
    } catch (error) {
      if (number === turn.current.number)
        setState((old) => ({ path, value: old.path === path ? old.value : null, error }));
    }
  }, [path]);
  const soon = useCallback(() => {
    const { current } = turn;
    if (current.timer !== null) return;
    const wait = Math.max(0, current.last + ASK_AGAIN_MS - Date.now());
    current.timer = setTimeout(() => {
      current.timer = null;
      void reload();
    }, wait);
  }, [reload]);
  useEffect(() => {
    void reload();
    const { current } = turn;
    const timer = everyMs === 0 ? null : setInterval(() => document.hidden || void reload(), everyMs);
    return () => {
      current.number += 1;
      clearTimeout(current.timer);
      current.timer = null;
      clearInterval(timer);
    };
  }, [reload]);
  useLive((event) => {
    if (event.kind === 'reset' || (event.kind === 'back' && event.data.again) || again(event)) soon();
  });
  const { value, error } = state.path === path ? state : { value: null, error: null };
  return { value, error, reload };
}
