/** Node's own fetch: `get URL...` prints status and body of each; `stream URL ACK` asks for ACK once the first event is there. */
const [, , mode, ...urls] = process.argv;
const headers = { authorization: `Bearer ${process.env['API_KEY'] ?? ''}` };

async function get(): Promise<void> {
  for (const url of urls) {
    const answer = await fetch(url, { headers });
    process.stdout.write(`${answer.status} ${await answer.text()}\n`);
    if (!answer.ok) process.exitCode = 22;
  }
}

async function stream([url = '', ack = '']: readonly string[]): Promise<void> {
  const answer = await fetch(url, { method: 'POST', headers, body: '{"stream":true}' });
  let asked = false;
  for await (const bytes of answer.body ?? []) {
    process.stdout.write(Buffer.from(bytes));
    if (asked) continue;
    asked = true;
    await (await fetch(ack, { method: 'POST', headers })).text();
  }
}

await (mode === 'get' ? get() : stream(urls));
