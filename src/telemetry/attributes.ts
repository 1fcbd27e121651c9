/**
 * Audit events in the words of OpenTelemetry: the semantic conventions where they have a name, `sallyport.` elsewhere.
 * No query value, no key and no placeholder: paths are cut as in the record. Pure.
 */
import type { Attributes } from '@opentelemetry/api';
import type { DecisionEvent, EndEvent, OperatorEvent } from '../audit/event.ts';
import { capField, redactPath } from '../audit/redact.ts';

/** What decisions and ends share. */
export function flowAttributes(event: DecisionEvent | EndEvent): Attributes {
  const { rule, host, port, path, reason } = event;
  return defined({
    'client.address': event.client,
    'server.address': host,
    'server.port': port,
    'http.request.method': event.method,
    'url.scheme': event.treat === 'plain' ? 'http' : event.treat === 'intercept' ? 'https' : null,
    'url.path': path === null ? null : redactPath(path, reason).replace(/\?.*$/s, ''),
    'error.type': reason,
    'sallyport.stage': event.stage,
    'sallyport.flow': event.flow,
    'sallyport.request_id': event.requestId,
    'sallyport.group': event.group,
    'sallyport.identity': event.identity,
    'sallyport.via': event.via,
    'sallyport.verdict': event.verdict ?? null,
    'sallyport.reason': reason,
    'sallyport.rule': rule === null || rule === undefined ? null : `${rule.file}:${rule.line} ${rule.text}`,
    'sallyport.treat': event.treat,
    'sallyport.keys': event.keys.length === 0 ? null : [...event.keys],
    'sallyport.policy': event.policy === '' ? null : event.policy,
  });
}

/** What only an end knows. */
export function endAttributes(event: EndEvent): Attributes {
  return defined({
    'http.response.status_code': event.status === 0 ? null : event.status,
    'sallyport.ended': event.ended,
    'sallyport.bytes_up': event.bytesUp,
    'sallyport.bytes_down': event.bytesDown,
    'sallyport.overhead_ms': event.overheadMs,
    'sallyport.scrubbed': event.scrubbed.length === 0 ? null : [...event.scrubbed],
  });
}

export function operatorAttributes(event: OperatorEvent): Attributes {
  return defined({
    'client.address': event.client,
    'user.name': event.operator,
    'sallyport.action': event.action,
    'sallyport.origin': event.origin,
    'sallyport.group': event.group,
    'sallyport.subject': event.subject,
    'sallyport.outcome': event.outcome,
    'sallyport.why': event.why === null ? null : capField(event.why),
  });
}

function defined(all: Readonly<Record<string, string | number | string[] | null>>): Attributes {
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
}
