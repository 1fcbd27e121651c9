/** Compose files and manifests against the schemas that their makers publish. */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMPOSE_DIR, readCompose } from '../helpers/compose.ts';
import { manifests } from './manifests.ts';
import { composeProblems, kubernetesSchemas, SCHEMAS } from './published-schemas.ts';

/** Kinds of operators, whose schemas no package carries; `kubernetes.test.ts` looks at them. */
const OPERATORS = ['PrometheusRule', 'ServiceMonitor'];

function suite(): void {
  it('each compose file is one by the Compose Specification', () => {
    const files = readdirSync(COMPOSE_DIR).filter((name) => /^compose.*\.yaml$/.test(name));
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) expect(composeProblems(readCompose(file).raw), file).toEqual([]);
  });

  it('each manifest is one by the API of Kubernetes, without a key that it does not know', () => {
    const unknown = new Set<string>();
    const kubernetesProblems = kubernetesSchemas();
    for (const { file, kind, raw } of manifests()) {
      const problems = kubernetesProblems(kind, String(raw['apiVersion']), raw);
      if (problems === null) unknown.add(kind);
      else expect(problems, `${file} ${kind}`).toEqual([]);
    }
    expect([...unknown].sort()).toEqual(OPERATORS);
    const [first] = manifests().filter(({ kind }) => kind === 'StatefulSet');
    expect(kubernetesProblems('StatefulSet', 'apps/v1', { ...first?.raw, spek: {} })).not.toEqual([]);
  });

  it('finds what is wrong', () => {
    expect(composeProblems({ services: { a: { imaeg: 'b' } } })).not.toEqual([]);
  });
}

if (SCHEMAS !== undefined) describe('published schemas', suite);
else if (process.env['SALLYPORT_NO_SKIP'] === '1')
  throw new Error('SALLYPORT_SCHEMAS names no folder: see .ci/run');
else describe.skip('published schemas (SALLYPORT_SCHEMAS is not set: see .ci/run)', suite);
