/**
 * axios: `get URL...` prints status and body of each. By default it reads the proxy variables itself; with
 * AXIOS=explicit its `proxy` is given by hand, and with AXIOS=off it leaves that to Node.
 */
import axios, { type CreateAxiosDefaults, isAxiosError } from 'axios';

function proxyOf(variant: string | undefined): CreateAxiosDefaults {
  if (variant === 'off') return { proxy: false };
  if (variant !== 'explicit') return {};
  const { hostname, port, username, password } = new URL(process.env['https_proxy'] ?? '');
  const auth = username === '' ? {} : { auth: { username, password } };
  return { proxy: { protocol: 'http', host: hostname, port: Number(port), ...auth } };
}

const client = axios.create({
  headers: { authorization: `Bearer ${process.env['API_KEY'] ?? ''}` },
  responseType: 'text',
  timeout: 20_000,
  ...proxyOf(process.env['AXIOS']),
});

for (const url of process.argv.slice(3)) {
  try {
    const answer = await client.get<string>(url);
    process.stdout.write(`${answer.status} ${answer.data}\n`);
  } catch (error) {
    process.exitCode = 22;
    // What a careful user of axios prints: the message, and the answer where there is one.
    if (!isAxiosError(error)) throw error;
    process.stdout.write(`${error.message} ${String(error.response?.data ?? '')}\n`);
  }
}
