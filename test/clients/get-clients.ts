/**
 * The clients that fetch URLs, one row each: how to find it, how to ask, and what its user sees of a refusal.
 * Each asks with `Authorization: Bearer $API_KEY`, prints what came, and fails when that was no success.
 */
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { type ClientProgram, programFile } from './client.ts';

export type GetClient = ClientProgram & {
  /** shell command, run once before the others */
  readonly prepare?: string;
  /** shell command that gets every URL, over one connection where the client can */
  readonly get: (...urls: string[]) => string;
  /** what its user sees of a refused CONNECT */
  readonly told: RegExp;
  /** connections at most for four requests one after the other; default 1 */
  readonly connections?: number;
  /** it speaks HTTP/2 where that is offered, and prints so */
  readonly http2?: string;
  /** false: sends no credentials before a 407 */
  readonly sendsToken?: boolean;
  /** shell command: posts to the first URL, prints what it streams, and posts to the second at its first event */
  readonly stream?: (url: string, ack: string) => string;
};

/** The reason phrase of our refusal, with its request id. */
const PHRASE = /host_not_allowed 0[0-9A-Z]{25}/;

/** Built once a machine, not once a run: the standard library takes most of the time. */
const GO_CACHE = path.join(tmpdir(), `sallyport-go-cache-${userInfo().uid}`);
const GO = `GOCACHE=${GO_CACHE} GOPATH=$HOME/go GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0`;

/** What an image does once: Java trusts a key store alone. */
const JAVA_TRUST = `java="$HOME/trust/java.p12"
for file in "$HOME"/trust/ca.crt "$HOME"/trust/root-*.crt; do
  keytool -importcert -noprompt -storetype PKCS12 -keystore "$java" -storepass changeit -alias "$file" -file "$file"
done`;
const JAVA_TRUSTS =
  '-Djavax.net.ssl.trustStore=$HOME/trust/java.p12 -Djavax.net.ssl.trustStorePassword=changeit';

const quoted = (urls: readonly string[]): string => urls.map((url) => `'${url}'`).join(' ');

function script(interpreter: string, file: string): Pick<GetClient, 'get' | 'stream'> {
  return {
    get: (...urls) => `${interpreter} ${programFile(file)} get ${quoted(urls)}`,
    stream: (url, ack) => `${interpreter} ${programFile(file)} stream '${url}' '${ack}'`,
  };
}

const PYTHON_MODULE = (name: string): string => `python3 -c 'import ${name}; print(${name}.__version__)'`;
const NODE = 'node --version';
const AXIOS = `node -p 'require("${path.resolve('node_modules/axios')}/package.json").version'`;

export const GET_CLIENTS: readonly GetClient[] = [
  {
    name: 'curl',
    version: 'curl --version',
    get: (...urls) =>
      `curl -sS --fail-with-body -w 'HTTP/%{http_version}\\n' -H "Authorization: Bearer $API_KEY" ${quoted(urls)}`,
    told: /CONNECT tunnel failed, response 403/,
    http2: 'HTTP/2',
    stream: (url, ack) =>
      `curl -fsSN -H "Authorization: Bearer $API_KEY" -d '{}' '${url}' | { read -r line; echo "$line"; curl -fsS -d '' '${ack}' >&2; cat; }`,
  },
  {
    name: 'wget',
    version: 'wget --version',
    get: (...urls) =>
      `wget -nv -O - --tries 1 --content-on-error --header "Authorization: Bearer $API_KEY" --ca-certificate="$SSL_CERT_FILE" ${quoted(urls)}`,
    told: PHRASE,
  },
  {
    name: 'Python urllib',
    version: 'python3 --version',
    get: script('python3', 'urllib_client.py').get,
    told: PHRASE,
    connections: 4,
  },
  {
    name: 'Python urllib, strict',
    version: 'python3 --version',
    get: script('STRICT=1 python3', 'urllib_client.py').get,
    told: PHRASE,
    connections: 4,
  },
  {
    name: 'Python requests',
    version: PYTHON_MODULE('requests'),
    told: PHRASE,
    ...script('python3', 'requests_client.py'),
  },
  {
    name: 'Python httpx',
    version: PYTHON_MODULE('httpx'),
    told: PHRASE,
    ...script('python3', 'httpx_client.py'),
  },
  {
    name: 'Node fetch',
    version: NODE,
    // It hides what a CONNECT was answered with; that is what `refuse: inside` is for.
    told: /fetch failed/,
    // Its pool opens a second one when it is asked in the same turn in which the first gets free.
    connections: 2,
    ...script('node', 'fetch-client.ts'),
  },
  {
    name: 'Node https',
    version: NODE,
    get: script('node', 'https-client.ts').get,
    told: PHRASE,
  },
  {
    name: 'axios',
    version: AXIOS,
    get: script('node', 'axios-client.ts').get,
    told: PHRASE,
    connections: 4,
  },
  {
    name: 'axios, explicit proxy',
    version: AXIOS,
    get: script('AXIOS=explicit node', 'axios-client.ts').get,
    told: /"reason":"host_not_allowed"/,
    connections: 4,
  },
  {
    name: 'axios, its proxy off',
    version: AXIOS,
    get: script('AXIOS=off node', 'axios-client.ts').get,
    told: PHRASE,
    connections: 4,
  },
  {
    name: 'Go net/http',
    version: 'go version',
    prepare: `${GO} go build -o "$HOME/go-client" ${programFile('client.go')}`,
    get: (...urls) => `"$HOME/go-client" get ${quoted(urls)}`,
    http2: 'HTTP/2.0',
    told: PHRASE,
  },
  {
    name: 'Java HttpClient',
    version: 'java -version && javac -version',
    prepare: `${JAVA_TRUST}\njavac -d "$HOME/classes" ${programFile('Client.java')}`,
    get: (...urls) =>
      `JAVA_TOOL_OPTIONS="$JAVA_TOOL_OPTIONS ${JAVA_TRUSTS}" java -cp "$HOME/classes" Client get ${quoted(urls)}`,
    told: /Tunnel failed, got: 403/,
    http2: 'HTTP_2',
    sendsToken: false,
  },
];
