/**
 * Writes what these manifests share with the rest of the repository, so that each thing is said once: the policies as a
 * ConfigMap, the alerts as a PrometheusRule, the dashboards as ConfigMaps. `node deploy/kubernetes/generate.ts`; with
 * `--check` it changes nothing and ends with 1 where a file differs.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse, stringify } from 'yaml';

const HERE = import.meta.dirname;
const HEAD = '# Written by generate.ts: do not edit.\n';
const LABELS = { 'app.kubernetes.io/name': 'sallyport' };

function named(name: string, labels: Record<string, string> = LABELS): object {
  return { name, namespace: 'sallyport', labels };
}

/** The key of a ConfigMap has no slash: the volume's `items` put each file where it belongs. */
function policies(): object {
  const dir = path.join(HERE, 'policies');
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.yaml'))
    .sort();
  const data = Object.fromEntries(
    files.map((name) => [name.replaceAll('/', '.'), readFileSync(path.join(dir, name), 'utf8')]),
  );
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: named('sallyport-policies'), data };
}

function rules(): object {
  const spec: unknown = parse(readFileSync(path.join(HERE, '../prometheus/alerts.yaml'), 'utf8'));
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: named('sallyport'),
    spec,
  };
}

function dashboards(): object[] {
  const dir = path.join(HERE, '../grafana/dashboards');
  const files = readdirSync(dir)
    .filter((name) => name.endsWith('.json'))
    .sort();
  return files.map((file) => {
    const text: unknown = JSON.parse(readFileSync(path.join(dir, file), 'utf8'));
    const metadata = named(`sallyport-dashboard-${path.basename(file, '.json')}`, {
      ...LABELS,
      grafana_dashboard: '1',
    });
    return {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata,
      data: { [`sallyport-${file}`]: JSON.stringify(text) },
    };
  });
}

function written(documents: readonly object[]): string {
  return (
    HEAD +
    documents.map((one) => stringify(one, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n')
  );
}

const OUTPUT: readonly (readonly [string, readonly object[]])[] = [
  ['policies.generated.yaml', [policies()]],
  ['monitoring/rules.generated.yaml', [rules()]],
  ['monitoring/dashboards.generated.yaml', dashboards()],
];

const check = process.argv.includes('--check');
for (const [name, documents] of OUTPUT) {
  const file = path.join(HERE, name);
  const text = written(documents);
  if (!check) writeFileSync(file, text);
  else if (readFileSync(file, 'utf8') !== text) {
    process.stderr.write(`${file} is not what its sources say: node deploy/kubernetes/generate.ts\n`);
    process.exitCode = 1;
  }
}
