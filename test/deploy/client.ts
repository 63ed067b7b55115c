// The client of the deployment tests: mutual TLS, the name in the certificate checked, certificates from FOLDER.
//   client.ts get HOST:PORT FOLDER              a set and a get; exit status 0 when the value came back
//   client.ts connect HOST:PORT FOLDER MS       new connections one after the other, in four loops: {done, refused, broken}
//   client.ts stay HOST:PORT FOLDER MS          eight connections that stay and ask: {requests, broken}
//   client.ts serial HOST:PORT FOLDER           the serial number of the certificate that a new connection sees
//   client.ts reach HOST:PORT                   exit status 0 when a TCP connection can be made; also unix:/PATH
//   client.ts plain HOST:PORT                   a set and a get without TLS; also unix:/PATH
import { readFileSync } from 'node:fs'
import { connect as connectPlain, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'

const [what, target, folder, ms] = process.argv.slice(2)
const port = Number(target.slice(target.lastIndexOf(':') + 1))
const host = target.slice(0, target.lastIndexOf(':')).replace(/^\[|\]$/g, '')

function openPlain(): Socket {
  return target.startsWith('unix:') ? connectPlain({ path: target.slice('unix:'.length) }) : connectPlain({ host, port })
}

function open(): TLSSocket {
  const file = (name: string): Buffer => readFileSync(join(folder, name))
  return connect({ host, port, servername: 'localhost', ca: file('ca.crt'), cert: file('client.crt'), key: file('client.key') })
}

/** Asks, and waits until the answer ends in `end`. */
function ask(socket: Socket, request: string, end: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const settle = (error?: Error): void => {
      clearTimeout(timer)
      for (const event of ['data', 'error', 'close']) socket.removeAllListeners(event)
      socket.on('error', () => {})
      if (error === undefined) resolve(answer)
      else reject(error)
    }
    const timer = setTimeout(() => settle(new Error('no answer within 10 s')), 10_000)
    socket.on('data', data => {
      answer += String(data)
      if (answer.endsWith(end)) settle()
    })
    socket.on('error', settle)
    socket.on('close', () => settle(Object.assign(new Error('closed'), { code: 'CLOSED' })))
    socket.write(request)
  })
}

const value = `v${process.pid}`

async function roundTrip(socket: Socket): Promise<void> {
  const key = `k${process.pid}`
  const request = `set ${key} 0 60 ${value.length}\r\n${value}\r\nget ${key}\r\n`
  const answer = await ask(socket, request, 'END\r\n')
  if (answer !== `STORED\r\nVALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`) throw new Error(JSON.stringify(answer))
}

/** Connections one after the other, each with a round trip. Refused: no TCP connection; broken: any other failure. */
async function connectForMs(): Promise<void> {
  const codes: Record<string, number> = {}
  let done = 0
  let refused = 0
  const end = Date.now() + Number(ms)
  await Promise.all(Array.from({ length: 4 }, async () => {
    while (Date.now() < end) {
      const socket = open()
      try {
        await roundTrip(socket)
        done++
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code ?? (error as Error).message
        if (code === 'ECONNREFUSED') refused++
        else codes[code] = (codes[code] ?? 0) + 1
        await new Promise(resolve => setTimeout(resolve, 5))
      }
      socket.destroy()
    }
  }))
  console.log(JSON.stringify({ done, refused, broken: Object.values(codes).reduce((sum, count) => sum + count, 0), codes }))
}

/** Connections that stay. Broken: one that ended, or a wrong answer. */
async function stay(): Promise<void> {
  let requests = 0
  let broken = 0
  const end = Date.now() + Number(ms)
  await Promise.all(Array.from({ length: 8 }, async () => {
    const socket = open()
    try {
      while (Date.now() < end) {
        await roundTrip(socket)
        requests++
      }
    } catch {
      broken++
    }
    socket.destroy()
  }))
  console.log(JSON.stringify({ requests, broken }))
}

try {
  switch (what) {
    case 'get': case 'plain': {
      const socket = what === 'get' ? open() : openPlain()
      await roundTrip(socket)
      socket.destroy()
      console.log(value)
      break
    }
    case 'serial': {
      const socket = open()
      await roundTrip(socket)
      console.log(socket.getPeerCertificate().serialNumber)
      socket.destroy()
      break
    }
    case 'connect': await connectForMs(); break
    case 'stay': await stay(); break
    case 'reach': {
      const socket = openPlain().setTimeout(3000)
      await new Promise<void>((resolve, reject) => {
        socket.on('connect', () => resolve()).on('error', reject).on('timeout', () => reject(new Error('no answer')))
      })
      socket.destroy()
      break
    }
    default: throw new Error(`no such thing as ${what}`)
  }
} catch (error) {
  console.error(String((error as NodeJS.ErrnoException).code ?? ''), (error as Error).message)
  process.exit(1)
}
