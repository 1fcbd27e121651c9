/** Where the reader is: the page and its filters stand in the address behind `#`, so every view has a link. */
import { queryOf } from './api.js';
import { useEffect, useState } from './ui.js';

/** `#/audit?group=a` -> `{ page: 'audit', query: { group: 'a' } }`. */
export function placeOf(hash) {
  const [path = '', search = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  return { page: path === '' ? 'overview' : path, query: Object.fromEntries(new URLSearchParams(search)) };
}

export function linkTo(page, query = {}) {
  return `#/${page}${queryOf(query)}`;
}

export function go(page, query) {
  location.hash = linkTo(page, query);
}

export function usePlace() {
  const [place, setPlace] = useState(() => placeOf(location.hash));
  useEffect(() => {
    const changed = () => setPlace(placeOf(location.hash));
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return place;
}
