/**
 * The live event stream: every record as it is written, and the proxy's state when it changes. `EventSource` cannot
 * send the token, so the stream is read by hand; it goes on where it was lost, and silence counts as loss.
 */
import { endSession, storedToken } from './api.js';

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;
/** The proxy says something at least every 15 s. */
const SILENCE_MS = 40_000;
/** Of one event; a record has at most 1 MiB. */
const MAX_BUFFERED = 4 * 1024 * 1024;

const listeners = new Set();

/** `told({ kind, data })` for every event, and for `lost` and `back`. Returns what ends it. */
export function listen(told) {
  listeners.add(told);
  return () => listeners.delete(told);
}

function tell(kind, data = null) {
  for (const told of listeners) told({ kind, data });
}

/** Listens until the returned function is called. */
export function startLive() {
  const stop = new AbortController();
  const state = { lastId: null, wait: FIRST_WAIT_MS, known: false };
  void follow(state, stop.signal);
  return () => stop.abort();
}

async function follow(state, stopped) {
  while (!stopped.aborted) {
    try {
      await readOnce(state, stopped);
    } catch {
      // Told below, and tried again.
    }
    if (stopped.aborted) return;
    tell('lost');
    await pause(state.wait, stopped);
    state.wait = Math.min(state.wait * 2, LONGEST_WAIT_MS);
  }
}

async function readOnce(state, stopped) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const headers = { authorization: `Bearer ${storedToken()}` };
    if (state.lastId !== null) headers['last-event-id'] = state.lastId;
    const signal = AbortSignal.any([stopped, silence.signal]);
    const answer = await fetch('api/v1/events', { headers, signal });
    if (answer.status === 401) return endSession('Your token was revoked, or is not known any more.');
    if (!answer.ok || answer.body === null) return;
    state.wait = FIRST_WAIT_MS;
    tell('back', { again: state.known });
    state.known = true;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      rest = eat(rest + value, state);
      if (rest.length > MAX_BUFFERED) return;
    }
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

/** Tells the whole events at the beginning of `text`; returns what is left. */
function eat(text, state) {
  const events = text.split('\n\n');
  const rest = events.pop() ?? '';
  for (const event of events) {
    const fields = new Map(
      event
        .split('\n')
        .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
    );
    if (fields.has('id')) state.lastId = fields.get('id');
    const kind = fields.get('event');
    if (kind === undefined) continue;
    try {
      tell(kind, JSON.parse(fields.get('data') ?? 'null'));
    } catch {
      tell('reset');
    }
  }
  return rest;
}

function pause(ms, stopped) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stopped.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
