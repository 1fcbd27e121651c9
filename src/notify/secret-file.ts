/** The secret that webhooks are signed with: `notify.key` of the state folder, made when it is first needed. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createFileDurable } from '../base/durable.ts';

const SECRET_BYTES = 32;

/** Text as an operator copies it to the receiver. Throws the file system's error, or where the file holds none. */
export function notifySecret(dir: string): string {
  const file = path.join(dir, 'notify.key');
  createFileDurable(file, `${randomBytes(SECRET_BYTES).toString('base64url')}\n`, 0o600);
  const secret = readFileSync(file, 'utf8').trim();
  if (secret.length < SECRET_BYTES) throw new Error(`${file} holds no secret; remove it to get a new one`);
  return secret;
}
