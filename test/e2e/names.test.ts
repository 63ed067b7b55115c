// Phases of each: a daemon in a network namespace with a name server of the test's own; what its services say over their unix sockets.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { mainFile, startDaemon, type Daemon } from '../support/daemon.ts'
import type { Zone } from '../support/island.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { connect } from '../support/wire.ts'

const isRoot = process.getuid?.() === 0
const mayUnshare = isRoot && spawnSync('unshare', ['-n', '-m', 'sh', '-c', 'ip link set lo up && mount --bind /etc/hosts /etc/hosts']).status === 0
const island = fileURLToPath(new URL('../support/island.ts', import.meta.url))

interface World { zone?: Zone, hosts?: string, conf?: string }

/** A network namespace with that name server: the start of a command line that runs a program in it. */
function worldOf({ zone = {}, hosts = '', conf = '' }: World) {
  const folder = tempFolder()
  const setZone = (next: Zone): void => writeFileSync(join(folder, 'zone'), JSON.stringify(next))
  setZone(zone)
  writeFileSync(join(folder, 'asked'), '')
  writeFileSync(join(folder, 'hosts'), hosts)
  writeFileSync(join(folder, 'resolv.conf'), `nameserver 127.0.0.1\n${conf}`)
  const begin = `ip link set lo up && mount --bind ${folder}/hosts /etc/hosts && mount --bind ${folder}/resolv.conf /etc/resolv.conf || exit 1
    rm -f ${folder}/up && mkfifo ${folder}/up && { "$0" ${island} ${folder}/zone ${folder}/asked > /dev/null 2> ${folder}/up & }
    read up < ${folder}/up && exec "$0" "$@"`
  return { folder, setZone, wrapper: ['unshare', '-n', '-m', 'sh', '-c', begin] }
}

/** One service for each of `backends`, a host name or a service's keys for its backend, with a unix socket of its name. */
async function started(backends: Record<string, string | object>, world: World = {}) {
  const { folder, setZone, wrapper } = worldOf(world)
  const daemon = await startDaemon({
    services: Object.fromEntries(Object.entries(backends).map(([name, backend]) => [name, {
      listen: `unix:${join(folder, name)}`,
      backend: { plaintext: 'allowed', ...typeof backend === 'string' ? { connect: `${backend}:11211` } : backend },
    }])),
  }, { wrapper })
  const get = async (service: string): Promise<string> => {
    const wire = await connect({ path: join(folder, service) })
    void wire.write('get a\r\nquit\r\n')
    const reply = (await wire.readToEnd()).toString()
    wire.destroy()
    return reply
  }
  return { daemon, setZone, get, asked: () => readFileSync(join(folder, 'asked'), 'utf8').trim().split('\n') }
}

const ready = (daemon: Daemon, service: string) => daemon.waitForLog(line => line.event === 'ready' && line.service === service, 120_000)

test.skipIf(!mayUnshare)('names that nobody answers for, and names whose server is lost, hold up no other (skipped without root and namespaces)', async () => {
  const dead = Object.fromEntries(Array.from({ length: 8 }, (_, at) => [`dead${at}`, `dead${at}.test`]))
  const zone: Zone = { 'live.test': ['127.0.9.1'] }
  for (let at = 0; at < 8; at++) zone[`dead${at}.test`] = at % 4 === 3 ? 'servfail' : 'silent'
  const { daemon, setZone, get } = await started({ ...dead, live: 'live.test', known: 'known', own: 'localhost' }, { zone, hosts: '127.0.9.2 known\n' })
  for (const service of ['live', 'known', 'own']) await ready(daemon, service)
  // The dead ones are still being asked for: the first of them is given up after more than a second.
  expect(await get('live')).toBe('END\r\n')
  expect(await get('dead0')).toBe('SERVER_ERROR memseal: backend unavailable\r\n')
  expect(daemon.logs('backend-lost').filter(line => line.service === 'live')).toEqual([])
  setZone({ ...zone, 'dead0.test': ['127.0.9.3'] })
  await ready(daemon, 'dead0')
  expect(await get('dead0')).toBe('END\r\n')
})

test.skipIf(!mayUnshare)('search domains and ndots as in a pod, short names as in a compose network (skipped without root and namespaces)', async () => {
  const zone = { 'cache.ns.svc.cluster.test': ['127.0.9.1'], 'cache.ns2.svc.cluster.test': ['127.0.9.2'], 'memcached': ['127.0.9.3'], 'www.example.test': ['127.0.9.4'] }
  const pod = await started({ near: 'cache', far: 'cache.ns2', whole: 'www.example.test.' },
    { zone, conf: 'search ns.svc.cluster.test svc.cluster.test cluster.test\noptions ndots:5\n' })
  for (const service of ['near', 'far', 'whole']) await ready(pod.daemon, service)
  const addressOf = ({ daemon }: { daemon: Daemon }, service: string) => daemon.logs('backend-ready').find(line => line.service === service)!.address
  expect(['near', 'far', 'whole'].map(service => addressOf(pod, service))).toEqual(['127.0.9.1:11211', '127.0.9.2:11211', '127.0.9.4:11211'])
  const compose = await started({ m: 'memcached' }, { zone, conf: 'options ndots:0\n' })
  await ready(compose.daemon, 'm')
  expect(addressOf(compose, 'm')).toBe('127.0.9.3:11211')
})

test.skipIf(!mayUnshare)('a slow name server is heard out; an answer holds when it falls silent (skipped without root and namespaces)', async () => {
  const { daemon, setZone, get, asked } = await started({
    m: { connect: 'slow.test:11211', resolve_interval: '100ms', connect_timeout: '200ms' },
    p: { connect: 'slow.test:11211', resolve_interval: 'off', sharing: 'private', connect_timeout: '10s' },
  }, { zone: { 'slow.test': { after: 2500, addresses: ['127.0.9.1'] } } })
  await ready(daemon, 'm')
  expect(await get('m')).toBe('END\r\n')
  expect(await get('p')).toBe('END\r\n')
  setZone({ 'slow.test': 'silent' })
  const before = asked().length
  while (asked().length === before) await new Promise(resolve => setTimeout(resolve, 20))
  expect(await get('m')).toBe('END\r\n')
  expect(await get('p')).toBe('END\r\n')
})

test.skipIf(!mayUnshare)('probe tells a silent name server from a host that keeps it out, and ends (skipped without root and namespaces)', () => {
  const { wrapper: [program, ...args] } = worldOf({ zone: { 'dead.test': 'silent', 'live.test': ['127.0.9.1'] } })
  const probed = (host: string, timeout: string) => spawnSync(program, [...args, process.execPath, mainFile, 'probe', `${host}:11211`, '--plain', '--timeout', timeout], { encoding: 'utf8' })
  expect(probed('dead.test', '300ms')).toMatchObject({ status: 1, stdout: expect.stringContaining('The name dead.test could not be looked up within 300ms: no name server answers.') })
  expect(probed('live.test', '1m').stdout).toContain('connected to 127.0.9.1:11211')
})
