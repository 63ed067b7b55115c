import { Admission } from '../../src/admission/admission.ts'
import { AddressRules } from '../../src/admission/address-rules.ts'
import { readFdLimit } from '../../src/process/fd-limit.ts'
import { Listener } from '../../src/process/listener.ts'
import { Counters } from '../../src/telemetry/counters.ts'
import { createLogger } from '../../src/telemetry/log.ts'

// An echo behind a listener, in a process with few open files and limits that do not know of it (listener.test.ts).
// Each line on standard input is answered with its CPU time and open connections.

const limits = { connections: 1000, connections_per_client: 1000, ipv6_prefix: 'auto', new_connections_per_second: 0, handshakes: 16, handshake_timeout: 5000 } as const
const { log } = createLogger({ level: 'silent', format: 'json', file: '-' })
const counters = new Counters()
const admission = new Admission({ service: 'cache', addresses: new AddressRules(), limits, counters, log })
const listener = new Listener({
  endpoint: { kind: 'tcp', host: '127.0.0.1', port: 0 }, name: 'test', service: { limits }, admission, log,
  refusalOf: () => undefined,
  onClient: socket => { socket.on('error', () => {}).on('data', chunk => { socket.write(chunk) }).on('end', () => { socket.end() }).resume() },
})
const { port } = await listener.listen()
console.log(JSON.stringify({ port, fdLimit: readFdLimit() }))

process.stdin.on('data', () => {
  const { user, system } = process.cpuUsage()
  console.log(JSON.stringify({ cpuMs: (user + system) / 1000, open: admission.open, acceptErrors: counters.acceptErrors }))
}).on('end', () => process.exit())
