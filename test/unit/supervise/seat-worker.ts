/** A process that takes a seat: says that it serves, and answers nothing when it is told to be `mute`. */
process.on('message', (message: { kind: string; id: number; what: string }) => {
  if (message.kind === 'begin') {
    const proxy = { host: '127.0.0.1', port: 1 };
    process.send?.({ kind: 'ready', at: { proxy, transparent: {} }, own: [] });
  }
  if (message.kind === 'ask' && process.argv[2] !== 'mute') {
    process.send?.({ kind: message.what, id: message.id, value: {} });
  }
  if (message.kind === 'stop') process.disconnect();
});
