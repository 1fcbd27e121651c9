/** Every answer of the API is what its description says it is. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { describe, expect, it } from 'vitest';
import { OPENAPI, ROUTES } from '../../../src/admin/routes.ts';
import { ROLES } from '../../../src/base/operator.ts';
import { decision, record } from '../audit/samples.ts';
import { adminWith, BEARER } from './fakes.ts';

const ajv = new Ajv2020({ strict: false });
addFormats.default(ajv);
ajv.addSchema({ $id: 'api', ...OPENAPI });

/** What is wrong with an answer; `where`: place of its operation in the document. */
function faults(where: readonly string[], status: number, type: string, body: unknown): unknown {
  const path = ['paths', ...where, 'responses', String(status), 'content', type, 'schema'];
  const pointer = path.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')));
  const validate = ajv.getSchema(`api#/${pointer.join('/')}`);
  if (validate === undefined) return `${where.join(' ')} says nothing of ${status} ${type}`;
  return validate(body) === true ? null : validate.errors;
}

const BODIES: Readonly<Record<string, object>> = {
  'PUT /api/v1/lockdown': { on: true, reason: 'x' },
  'POST /api/v1/explain': { group: 'ai-agents', url: 'https://a.test/' },
  'POST /api/v1/tokens': { group: 'ai-agents', name: 'one', expires: '30d' },
};
/** What `{…}` of a path stands for, so that it is there. */
const THERE: Readonly<Record<string, string>> = { 'DELETE /api/v1/flows/{id}': 'f1' };

describe('the description', () => {
  const JSON_ROUTES = ROUTES.filter(({ path }) => !['/metrics', '/api/v1/events'].includes(path));

  it.each(JSON_ROUTES.map(({ method, path }) => [method, path] as const))(
    'fits the answers of %s %s, good ones and refusals',
    async (method, path) => {
      const { admin, trail } = adminWith();
      await record(trail, decision());
      const name = `${method} ${path}`;
      const payload = BODIES[name];
      const url = path.replaceAll(/\{\w+\}/g, THERE[name] ?? 'none');
      const where = [path, method.toLowerCase()];
      for (const headers of [BEARER, { host: 'localhost' }, { ...BEARER, origin: 'https://evil.example' }]) {
        const answer = await admin.app.inject({
          method,
          url,
          headers,
          ...(payload === undefined ? {} : { payload }),
        });
        const [type = ''] = String(answer.headers['content-type']).split(';');
        const open = ROUTES.some((route) => route.path === path && route.role === null);
        if (headers === BEARER || !open) {
          expect(faults(where, answer.statusCode, type, answer.json()), name).toBeNull();
        }
      }
    },
  );

  it('names the role of each operation, and every reference in it leads somewhere', () => {
    const text = JSON.stringify(OPENAPI);
    for (const [, name = ''] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      expect(Object.keys(OPENAPI.components.schemas)).toContain(name);
    }
    for (const route of ROUTES) expect([null, ...ROLES]).toContain(route.role);
    expect(text).toContain('"description":"Role: approver."');
  });
});
