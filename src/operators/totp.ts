/**
 * One-time codes by time (RFC 6238): SHA-1, 6 digits, 30 seconds, which is what every authenticator app understands.
 * Pure but for the randomness of a new secret.
 */
import { Secret, TOTP } from 'otpauth';

const PERIOD_S = 30;
const SECRET_BYTES = 20;
/** Steps before and after the present one: a clock may be off, and typing takes a while. */
const WINDOW = 1;

export function newSecret(): string {
  return new Secret({ size: SECRET_BYTES }).base32;
}

/** What an authenticator app scans or is given: holds the secret. */
export function enrolmentUri(name: string, secret: string): string {
  return totpOf(secret, name).toString();
}

/** Number of the step whose code this is; null: of none that is near. `now`: milliseconds since the epoch. */
export function stepOf(secret: string, code: string, now: number): number | null {
  if (!/^\d{6}$/.test(code)) return null;
  const delta = totpOf(secret).validate({ token: code, timestamp: now, window: WINDOW });
  return delta === null ? null : Math.floor(now / 1000 / PERIOD_S) + delta;
}

function totpOf(secret: string, label = ''): TOTP {
  const issuer = 'Sallyport';
  return new TOTP({
    issuer,
    label: label === '' ? issuer : label,
    algorithm: 'SHA1',
    digits: 6,
    period: PERIOD_S,
    secret: Secret.fromBase32(secret),
  });
}
