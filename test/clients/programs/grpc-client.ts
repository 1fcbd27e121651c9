/**
 * grpc-js, messages as bytes: `HOST:PORT` asks once and prints the answer and its trailer, then talks on a stream in
 * which each side waits for the other. The placeholder goes as metadata.
 */
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';

const client = new Client(process.argv[2] ?? '', credentials.createSsl());
const metadata = new Metadata();
metadata.set('authorization', `Bearer ${process.env['API_KEY'] ?? ''}`);
const bytes = (value: Buffer): Buffer => value;
const deadline = Date.now() + 20_000;

function ask(): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const call = client.makeUnaryRequest(
    '/echo.Echo/Say',
    bytes,
    bytes,
    Buffer.from('hello'),
    metadata,
    { deadline },
    (error, value) => {
      if (error !== null) return reject(error);
      process.stdout.write(`${value?.toString()}\n`);
    },
  );
  call.on('status', ({ code, metadata: trailers }) => {
    process.stdout.write(`status ${code} ${trailers.get('x-trailer').join()}\n`);
    resolve();
  });
  return promise;
}

function talk(words: readonly string[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const left = [...words];
  const stream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
    '/echo.Echo/Talk',
    bytes,
    bytes,
    metadata,
    { deadline },
  );
  const next = (): void => {
    const word = left.shift();
    if (word === undefined) stream.end();
    else stream.write(Buffer.from(word));
  };
  stream.on('data', (value: Buffer) => {
    process.stdout.write(`${value.toString()}\n`);
    next();
  });
  stream.on('error', reject);
  stream.on('end', resolve);
  next();
  return promise;
}

try {
  await ask();
  await talk(['one', 'two', 'three']);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  client.close();
}
