/** The record: searched page by page, and told as it grows. */
import { z } from 'zod';
import { BadCursorError, searchAudit } from '../../audit/search.ts';
import { type AdminDeps, type Reply, type Route, refused, route } from '../route.ts';
import { list, ok, orNull, problem, shape, text, whole } from '../schema.ts';

const MAX_PAGE = 1_000;
/** Each may read some megabytes. */
const MAX_SEARCHES = 4;
const word = z.string().min(1).max(512).optional();
const moment = z.iso
  .datetime({ offset: true })
  .transform((at) => Date.parse(at))
  .optional();

const query = z.strictObject({
  kind: z.enum(['decision', 'end', 'operator']).optional(),
  group: word.meta({ description: '`nobody`: clients that no policy knows.' }),
  host: word.meta({
    description: 'A name, *.example.com for what is below it, * for any; also with a port.',
  }),
  reason: word,
  verdict: word,
  identity: word,
  operator: word,
  request_id: word,
  flow: word,
  text: word.meta({ description: 'Anywhere in the record, upper case or lower.' }),
  since: moment,
  until: moment,
  limit: z.coerce.number().int().min(1).max(MAX_PAGE).default(100),
  cursor: z.string().max(65_536).optional().meta({ description: '`next` of the page before.' }),
});

export const AUDIT_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    path: '/api/v1/audit',
    role: 'viewer',
    summary:
      'Records that fit every filter, newest first; `next` leads to older ones, also where a page came out empty',
    query,
    answers: {
      ...ok(shape({ records: list({ type: 'object' }), next: orNull(text), scanned: whole })),
      '503': problem('Too many searches at once.'),
    },
    run: async (deps, ask) => {
      const { limit, cursor = null, ...wanted } = ask.query;
      return oneOfFew(deps, async () => ({
        json: await searchAudit(deps.auditDir, wanted, { limit, cursor }),
      }));
    },
  }),
  route({
    method: 'GET',
    path: '/api/v1/events',
    role: 'viewer',
    summary:
      'Server-sent events: each record as it is written, and `state` when it changes; resumes by Last-Event-ID',
    answers: {
      '200': { description: 'A stream.', content: { 'text/event-stream': { schema: text } } },
      '503': problem('Too many listen already.'),
    },
    run: ({ events }, ask) => events.attach(ask),
  }),
];

async function oneOfFew({ searches }: AdminDeps, work: () => Promise<Reply>): Promise<Reply> {
  if (searches.running >= MAX_SEARCHES) {
    const detail = 'Other searches are running; try again.';
    return { problem: { status: 503, code: 'busy', detail }, headers: { 'retry-after': '1' } };
  }
  searches.running += 1;
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof BadCursorError)) throw error;
    return refused(400, 'bad_request', error.message);
  } finally {
    searches.running -= 1;
  }
}
