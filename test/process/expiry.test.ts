import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { loadText } from '../../src/config/load.ts'
import { ExpiryWatch } from '../../src/process/expiry.ts'
import { buildListeners } from '../../src/process/service-tls.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { expiringOf } from '../../src/tls/expiring.ts'
import { makeCrl } from '../support/crl.ts'
import { pki } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'

const HOUR = 3_600_000

test('a certificate that ends within two weeks is told every hour, and loudly once it has ended', async () => {
  const { server } = await pki()
  const lines: Record<string, any>[] = []
  const { log } = createLogger({ level: 'info', format: 'json', file: '-' }, { write: line => { lines.push(JSON.parse(line)) } })
  const { config } = loadText(JSON.stringify({ services: { cache: { listen: '127.0.0.1:1', tls: { cert: server.certFile, key: server.keyFile } } } }), 'm.yaml', { environment: {} })
  const [listener] = (await buildListeners('cache', config!.services['cache'], () => {})).values()
  const inForce = expiringOf('cache', listener, undefined)
  const watch = new ExpiryWatch(log, () => inForce)
  onTestFinished(() => watch.close())
  const end = new X509Certificate(server.cert).validToDate.getTime()
  const levelsAt = (now: number): string[] => {
    lines.length = 0
    watch.check(log, inForce, now)
    return lines.map(({ level }) => level)
  }
  expect(levelsAt(end - 15 * 24 * HOUR)).toEqual([])
  expect(levelsAt(end - 24 * HOUR)).toEqual(['warn'])
  expect(levelsAt(end - 24 * HOUR + HOUR - 1)).toEqual([])
  expect(levelsAt(end - 23 * HOUR)).toEqual(['warn'])
  expect(levelsAt(end)).toEqual(['error'])
  expect(lines[0]).toMatchObject({ event: 'expiry', service: 'cache', key: 'cert', file: server.certFile })
})

test('a revocation list is no news until it has ended, and then it is loud', async () => {
  const { server, ca } = await pki()
  const lines: Record<string, any>[] = []
  const { log } = createLogger({ level: 'info', format: 'json', file: '-' }, { write: line => { lines.push(JSON.parse(line)) } })
  const crl = join(tempFolder(), 'a.crl')
  await makeCrl(crl, { ca })
  const tls = { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile, crl, crl_expired: 'warn' }
  const { config } = loadText(JSON.stringify({ services: { cache: { listen: '127.0.0.1:1', tls } } }), 'm.yaml', { environment: {} })
  const [listener] = (await buildListeners('cache', config!.services['cache'], () => {})).values()
  const inForce = expiringOf('cache', listener, undefined)
  const end = listener.material.revocation!.nextUpdate!.getTime()
  const watch = new ExpiryWatch(log, () => inForce)
  onTestFinished(() => watch.close())
  const told = (now: number) => {
    lines.length = 0
    watch.check(log, inForce, now)
    return lines.filter(({ key }) => key === 'crl').map(({ level, msg }) => [level, msg])
  }
  expect(told(end - 1)).toEqual([])
  expect(told(end)).toEqual([['error', expect.stringMatching(/a\.crl expired on .* UTC; clients are judged by the old list \(crl_expired: warn\)\. Get a new list from the CA\.$/)]])
})
