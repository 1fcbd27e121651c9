/** Chromium by Playwright, in a network namespace: a page, its fetch with a placeholder, refusals, and a 407 answered. */
import { beforeAll, expect, it } from 'vitest';
import { describeInNamespace, driveInNamespace } from '../helpers/netns.ts';
import { describeClient } from './client.ts';
import type { ChromiumReport } from './drive/chromium.ts';

const DRIVER = new URL('./drive/chromium.ts', import.meta.url);
const LIMIT_MS = 120_000;
const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyz';
const NOTHING: ChromiumReport = {
  page: '',
  fetched: '',
  arrived: '',
  connections: 0,
  requests: 0,
  refused: '',
  refusedPlain: '',
  asked: '',
  refusedInside: '',
  identity: null,
  token: '',
  others: [],
};

describeClient({ name: 'Chromium', version: 'chromium --version' }, 'Chromium', () => {
  describeInNamespace('with what /env prints and the CA by policy', () => {
    let report = NOTHING;

    beforeAll(async () => {
      report = await driveInNamespace<ChromiumReport>(DRIVER, { limitMs: LIMIT_MS });
    }, LIMIT_MS);

    it('loads a page of an intercepted host', () => {
      expect(report.page).toBe('the page');
    });

    it('fetches from the page with a placeholder, which arrives as the real key', () => {
      expect(report.fetched).toBe('got /v1/models');
      expect(report.arrived).toBe(`Bearer ${REAL}`);
    });

    it('keeps its connections', () => {
      expect(report.requests).toBeGreaterThan(report.connections);
    });

    it('shows that a tunnel was refused, and over plain HTTP why', () => {
      expect(report.refused).toContain('ERR_TUNNEL_CONNECTION_FAILED');
      expect(report.refusedPlain).toContain('"reason":"host_not_allowed"');
    });

    it('shows why a tunnel was refused where the policy refuses inside', () => {
      expect(report.refusedInside).toContain('"reason":"host_not_allowed"');
    });

    it('sends its token after a 407', () => {
      expect(report.asked).toBe('the page');
      expect(report.identity).toBe(report.token);
    });

    it('gets nowhere with what it asks by itself', () => {
      expect(report.others).toContain('evil.test deny');
      expect(report.others.filter((one) => !one.endsWith(' deny'))).toEqual([]);
    });
  });
});
