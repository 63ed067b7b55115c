// The examples of "Who may do what" in the README, pasted from there and tried with certificates of their kinds.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { odd } from '../support/certificates.ts'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki, type Certificate } from '../support/pki.ts'
import { as, connect, type Wire } from '../support/wire.ts'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
const section = /^### Who may do what$([^]*?)^### /m.exec(readme)![1]
const examples = [...section.matchAll(/^```yaml\n([^]*?)^```$/gm)].map(([, text]) => parse(text) as { services: { memcached: Record<string, unknown> } })

async function run(example: typeof examples[number]) {
  const { ca, server } = await pki()
  const memcached = await startMemcached()
  const service = {
    ...example.services.memcached, listen: '127.0.0.1:0', allow: ['127.0.0.0/8'], backend: { connect: memcached.address },
    tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile },
  }
  const daemon = await startDaemon({ services: { memcached: service } })
  return (who: Certificate): Promise<Wire> => connect({ port: daemon.port(), tls: as(who, ca) })
}

async function who(subject: string, name = 'DNS:host.example.com'): Promise<Certificate> {
  const { ca } = await pki()
  return odd({ subject, signer: ca, extensions: ['extendedKeyUsage = clientAuth', `subjectAltName = ${name}`] })
}

async function says(wire: Wire, request: string, reply: string): Promise<void> {
  expect(await wire.ask(request, reply.length)).toBe(reply)
}

const NO_KEY = 'CLIENT_ERROR memseal: key not allowed\r\n'
const NO_COMMAND = 'CLIENT_ERROR memseal: command not allowed\r\n'

test('there are three', () => expect(examples).toHaveLength(3))

test('two teams on one cache', async () => {
  const dial = await run(examples[0])
  const shop = await dial(await who('/O=example/CN=shop-1'.replace('/O=example', '/O=example/OU=shop')))
  const blog = await dial(await who('/CN=b1', 'DNS:b1.blog.example.com'))
  await says(shop, 'set shop:1 0 0 1\r\ns\r\n', 'STORED\r\n')
  await says(shop, 'set shared:prices:1 0 0 1\r\np\r\n', 'STORED\r\n')
  await says(shop, 'get blog:1\r\n', NO_KEY)
  await says(shop, 'flush_all\r\n', NO_COMMAND)
  await says(blog, 'set blog:1 0 0 1\r\nb\r\n', 'STORED\r\n')
  await says(blog, 'get blog:1 shop:1\r\n', NO_KEY)
  await says(blog, 'get shared:prices:1\r\n', NO_KEY)
  await says(blog, 'get shared:2\r\n', 'END\r\n')
  await expect(dial(await who('/CN=shop', 'DNS:x.b1.blog.example.com')).then(wire => wire.ask('mn\r\n', 4))).rejects.toThrow()
})

test('read-only reporting', async () => {
  const dial = await run(examples[1])
  const application = await dial(await who('/CN=web-1'))
  const report = await dial(await who('/CN=report-7'))
  await says(application, 'set a 0 0 1\r\nx\r\n', 'STORED\r\n')
  await says(report, 'get a\r\n', 'VALUE a 0 1\r\nx\r\nEND\r\n')
  for (const write of ['set a 0 0 1\r\ny\r\n', 'delete a\r\n', 'gat 10 a\r\n', 'mg a v T10\r\n', 'incr a 1\r\n']) await says(report, write, NO_COMMAND)
  await says(report, `get ${Array.from({ length: 101 }, (_, n) => `k${n}`).join(' ')}\r\n`, 'CLIENT_ERROR memseal: too many keys in one get\r\n')
  await says(application, 'get a\r\n', 'VALUE a 0 1\r\nx\r\nEND\r\n')
})

test('flush by the operators alone', async () => {
  const dial = await run(examples[2])
  const application = await dial(await who('/CN=operators', 'URI:spiffe://example.com/applications/operators'))
  const operator = await dial(await who('/CN=anna', 'URI:spiffe://example.com/operators/anna'))
  await says(application, 'set a 0 0 1\r\nx\r\n', 'STORED\r\n')
  await says(application, 'flush_all\r\n', NO_COMMAND)
  await says(application, 'get a\r\n', 'VALUE a 0 1\r\nx\r\nEND\r\n')
  await says(operator, 'flush_all\r\n', 'OK\r\n')
  await says(application, 'get a\r\n', 'END\r\n')
})
