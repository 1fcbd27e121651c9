/** What goes wrong with the trail itself. Match on `code`, never on the message. */
export type AuditErrorCode =
  | 'AUDIT_LOCKED'
  | 'AUDIT_BACKLOG'
  | 'AUDIT_CLOSED'
  | 'AUDIT_LOST'
  | 'AUDIT_TAMPERED';

export class AuditError extends Error {
  override readonly name = 'AuditError';
  readonly code: AuditErrorCode;

  constructor(code: AuditErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
