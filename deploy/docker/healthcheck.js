/*
 * Health check of the image, which has no curl: asks the admin side whether it is ready and ends with 0 or 1.
 * HEALTHCHECK_URL names it where admin.listen is not the default.
 */
const url = process.env.HEALTHCHECK_URL ?? 'http://127.0.0.1:9090/readyz';
try {
  const { status } = await fetch(url, { signal: AbortSignal.timeout(4_000) });
  if (status !== 200) {
    console.error(`${url}: ${status}`);
    process.exitCode = 1;
  }
} catch (error) {
  console.error(`${url}: ${error.cause?.code ?? error.name}`);
  process.exitCode = 1;
}
