// A host of its own beside a daemon: run in the daemon's network namespace before it, ends with it.
//
//   DNS on 127.0.0.1:53 (UDP), which answers as the file of its first argument says, now and whenever that changes
//   memcached, what it takes to say `version` and miss, on port 11211 of all addresses of loopback
import { createSocket } from 'node:dgram'
import { appendFileSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { argv } from 'node:process'

/** By name: addresses, `silent`, `servfail`, or addresses that come after a while. All else is NXDOMAIN. */
export type Zone = Record<string, string[] | 'silent' | 'servfail' | { after: number, addresses: string[] }>

const [, , zoneFile, askedFile] = argv
const parent = process.ppid
setInterval(() => { if (process.ppid !== parent) process.exit() }, 100)

createServer(socket => {
  socket.on('error', () => {}).on('data', bytes => {
    for (const line of bytes.toString('latin1').split('\r\n').slice(0, -1)) {
      socket.write(line.startsWith('version') ? 'VERSION 1.6.38\r\n' : line.startsWith('mn') ? 'MN\r\n' : 'END\r\n')
    }
  })
}).listen(11211, '0.0.0.0')

const A = 1
const server = createSocket('udp4', (question, from) => {
  const { name, type, end } = read(question)
  appendFileSync(askedFile, `${name}\n`)
  const zone = JSON.parse(readFileSync(zoneFile, 'utf8')) as Zone
  const entry = zone[name]
  if (entry === 'silent') return
  const code = entry === undefined ? 3 : entry === 'servfail' ? 2 : 0
  const { after, addresses } = typeof entry === 'object' && !Array.isArray(entry) ? entry : { after: 0, addresses: Array.isArray(entry) ? entry : [] }
  const answer = reply(question.subarray(0, end), code, type === A ? addresses : [])
  setTimeout(() => server.send(answer, from.port, from.address), after)
})
server.bind(53, '127.0.0.1', () => console.error('island: up'))

function read(packet: Buffer): { name: string, type: number, end: number } {
  const labels = []
  let at = 12
  for (; packet[at] > 0; at += packet[at] + 1) labels.push(packet.toString('latin1', at + 1, at + 1 + packet[at]))
  return { name: labels.join('.').toLowerCase(), type: packet.readUInt16BE(at + 1), end: at + 5 }
}

/** @param question header and question */
function reply(question: Buffer, code: number, addresses: readonly string[]): Buffer {
  const head = Buffer.from(question)
  head.writeUInt16BE(0x8180 | code, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(addresses.length, 6)
  head.writeUInt32BE(0, 8)
  // A pointer to the name of the question, type A, class IN, ten seconds, four bytes.
  const records = addresses.map(address => Buffer.from([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 10, 0, 4, ...address.split('.').map(Number)]))
  return Buffer.concat([head, ...records])
}
