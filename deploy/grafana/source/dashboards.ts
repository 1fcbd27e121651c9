/** All dashboards by the name of their file. */
import { BLOCKED } from './blocked.ts';
import { KEYS } from './keys.ts';
import type { Dashboard } from './model.ts';
import { OVERVIEW } from './overview.ts';
import { PEOPLE } from './people.ts';

export const DASHBOARDS: ReadonlyMap<string, Dashboard> = new Map([
  ['overview', OVERVIEW],
  ['blocked', BLOCKED],
  ['keys', KEYS],
  ['people', PEOPLE],
]);
