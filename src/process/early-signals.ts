// What runs first: Node's own answer to SIGUSR1 is a debugger on port 9229, open to every user of this host, and to SIGUSR2
// its end. Until there is something to do at them (daemon.ts), nothing is done. Nodes before 24 read this too, and are refused
// right after it.

for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {})

// One that came while Node itself started, without --disable-sigusr1, has opened it already.
const isAsked = /--inspect/.test(`${process.execArgv.join(' ')} ${process.env['NODE_OPTIONS'] || ''}`)
if (!isAsked) closeDebugger()
setImmediate(() => { if (!isAsked) closeDebugger() })

function closeDebugger(): void {
  const inspector = process.getBuiltinModule ? process.getBuiltinModule('node:inspector') : undefined
  if (inspector && inspector.url() !== undefined) inspector.close()
}
