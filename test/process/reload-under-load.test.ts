// 100 swaps of certificates, in each way that people and programs do it, while clients work:
//   written in place (cert, then key), renamed over, certbot's symlinks in live/, Kubernetes' ..data
// Half of them are noticed by memseal itself, half are reloads by order. Nothing may be lost, and new handshakes must see
// the new certificate.
import { X509Certificate } from 'node:crypto'
import { copyFileSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import { askAdmin } from '../support/admin.ts'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki, type Certificate, type Pki } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { as, connect } from '../support/wire.ts'

type Put = (folder: string, pair: Certificate, round: number) => void

const ways: Record<string, Put> = {
  'in-place': (folder, { cert, key }) => {
    writeFileSync(join(folder, 'tls.crt'), cert)
    writeFileSync(join(folder, 'tls.key'), key)
  },
  renamed: (folder, { certFile, keyFile }) => {
    for (const [from, name] of [[certFile, 'tls.crt'], [keyFile, 'tls.key']] as const) {
      copyFileSync(from, join(folder, `${name}.new`))
      renameSync(join(folder, `${name}.new`), join(folder, name))
    }
  },
  certbot: (folder, { cert, key }, round) => {
    const archive = join(folder, 'archive')
    mkdirSync(archive, { recursive: true })
    for (const [text, name] of [[cert, 'tls.crt'], [key, 'tls.key']] as const) {
      writeFileSync(join(archive, `${round}.${name}`), text)
      rmSync(join(folder, name), { force: true })
      symlinkSync(join('archive', `${round}.${name}`), join(folder, name))
    }
  },
  kubernetes: (folder, { cert, key }, round) => {
    const data = join(folder, `..${round}`)
    mkdirSync(data)
    writeFileSync(join(data, 'tls.crt'), cert)
    writeFileSync(join(data, 'tls.key'), key)
    symlinkSync(`..${round}`, join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
    if (round === 0) for (const name of ['tls.crt', 'tls.key']) symlinkSync(join('..data', name), join(folder, name))
  },
}
const ROUNDS = 25

test('100 swaps of certificates under load lose no session and no request', { timeout: 600_000 }, async () => {
  const made = await pki()
  const memcached = await startMemcached()
  const home = tempFolder()
  const admin = join(home, 'admin.sock')
  for (const [name, put] of Object.entries(ways)) {
    mkdirSync(join(home, name))
    put(join(home, name), made.server, 0)
  }
  const daemon = await startDaemon({
    admin: { listen: `unix:${admin}` }, log: { level: 'info' },
    services: Object.fromEntries(Object.keys(ways).map(name => [name, {
      listen: '127.0.0.1:0', backend: { connect: `127.0.0.1:${memcached.port}` },
      tls: { cert: join(home, name, 'tls.crt'), key: join(home, name, 'tls.key'), client_ca: made.ca.certFile },
    }])),
  })
  await daemon.waitForLog('admin-listening')
  const load = Object.keys(ways).map((name, at) => new Worker(name, at))
  await Promise.all(load.map(worker => worker.start(daemon.port(worker.service), made)))

  for (let round = 1; round <= ROUNDS; round++) {
    const pair = round % 2 === 1 ? made.serverRenewed : made.server
    const isOrdered = (at: number) => (round + at) % 2 === 0
    const swaps = Object.entries(ways)
    const noticed = swaps.filter((_, at) => !isOrdered(at))
    for (const [name, put] of noticed) put(join(home, name), pair, round)
    for (const [name] of noticed) {
      await eventually(async () => await shown(daemon.port(name), made) === fingerprint(pair), () => `${name} is noticed in round ${round}`)
    }
    for (const [name, put] of swaps.filter((_, at) => isOrdered(at))) {
      put(join(home, name), pair, round)
      const { status, body } = await askAdmin(admin, '/reload', 'POST')
      expect([status, body]).toEqual([200, expect.anything()])
      expect(await shown(daemon.port(name), made)).toBe(fingerprint(pair))
    }
  }
  await Promise.all(load.map(worker => worker.stop()))
  expect(daemon.logs('reload-refused')).toEqual([])
  expect(daemon.logs('closed').filter(line => line['requests'] !== 0 && line['reason'] !== 'client-closed')).toEqual([])
  expect(daemon.logs('backend-lost')).toEqual([])
})

/** A client that asks without a pause, each reply checked. */
class Worker {
  readonly service: string
  #key: string
  #count = 0
  #isStopping = false
  #done: Promise<void> = Promise.resolve()

  constructor(service: string, at: number) {
    this.service = service
    this.#key = `key-${at}`
  }

  async start(port: number, { client, ca }: Pki): Promise<void> {
    const wire = await connect({ port, tls: as(client, ca) })
    this.#done = (async () => {
      while (!this.#isStopping || this.#count < 100) {
        const value = `value-${this.#count++}`
        expect(await wire.ask(`set ${this.#key} 0 0 ${value.length}\r\n${value}\r\n`, 8)).toBe('STORED\r\n')
        const reply = `VALUE ${this.#key} 0 ${value.length}\r\n${value}\r\nEND\r\n`
        expect(await wire.ask(`get ${this.#key}\r\n`, reply.length)).toBe(reply)
      }
      wire.end()
      await wire.closed
    })()
    this.#done.catch(() => {})   // told by stop()
  }

  /** Once it has asked a hundred times. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#done
  }
}

async function shown(port: number, { client, ca }: Pki): Promise<string> {
  const wire = await connect({ port, tls: as(client, ca) })
  const { fingerprint256 } = (wire.socket as TLSSocket).getPeerX509Certificate()!
  wire.destroy()
  return fingerprint256
}

function fingerprint({ cert }: Certificate): string {
  return new X509Certificate(cert).fingerprint256
}

async function eventually(holds: () => Promise<boolean>, what: () => string): Promise<void> {
  const deadline = Date.now() + 150_000
  while (!await holds()) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what()}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
