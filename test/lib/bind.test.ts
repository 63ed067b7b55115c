import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, lstatSync, mkdirSync, readFileSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { connect, createServer, Server, type AddressInfo, type ListenOptions } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { bind, type BindOptions, type Bound } from '../../src/lib/bind.ts'
import type { Endpoint } from '../../src/lib/endpoint.ts'
import { endOf } from '../support/child.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { atEndOfTest } from '../support/test-life.ts'

const hasIPv6 = Object.values(networkInterfaces()).flat().some(each => each?.address === '::1')
const isRoot = process.getuid?.() === 0
const mayUnshare = isRoot && hasIPv6 && spawnSync('unshare', ['-n', 'ip', 'link', 'set', 'lo', 'up']).status === 0

async function bound(endpoint: Endpoint, options: Partial<BindOptions<Server>> = {}): Promise<Bound<Server>> {
  const made = await bind(endpoint, { make: () => createServer(socket => socket.on('error', () => {}).end('ours')), ...options })
  await atEndOfTest(async () => made.close())
  return made
}

const unix = (path: string): Endpoint => ({ kind: 'unix', path })
const tcp = (host: string, port = 0): Endpoint => ({ kind: 'tcp', host, port })

/** What whoever connects there gets: bytes, or the code of the failure. */
async function answer(where: { path: string } | { host: string, port: number }): Promise<string> {
  let bytes = ''
  const socket = connect(where)
  socket.on('data', chunk => { bytes += chunk }).on('error', (error: NodeJS.ErrnoException) => { bytes = error.code! })
  await once(socket, 'close').catch(() => {})
  return bytes
}

/** A program of its own that listens at a path and may be killed. */
async function otherProcess(path: string, backlog = 511) {
  const script = `require('net').createServer(s => s.on('error', () => {}).end('theirs')).listen({ path: ${JSON.stringify(path)}, backlog: ${backlog} }, () => console.log('up'))`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = endOf(child)
  await atEndOfTest(async () => { child.kill('SIGKILL') })
  await once(child.stdout, 'data')
  return { stop: () => child.kill('SIGSTOP'), kill: async () => { child.kill('SIGKILL'); await ended } }
}

/** A host that lacks some addresses: to bind them fails as the system has it. */
function without(missing: Record<string, string>): () => Server {
  return () => {
    const server = createServer()
    const listen = server.listen.bind(server) as (options: ListenOptions, done: () => void) => Server
    server.listen = ((options: ListenOptions, done: () => void) => {
      const code = missing[options.host!]
      if (code === undefined) return listen(options, done)
      process.nextTick(() => server.emit('error', Object.assign(new Error(`listen ${code}`), { code, address: options.host })))
      return server
    }) as Server['listen']
    return server
  }
}

test('a socket that a killed process left behind is taken over, with the permissions asked for', async () => {
  const path = join(tempFolder(), 's')
  await (await otherProcess(path)).kill()
  expect(lstatSync(path).isSocket()).toBe(true)
  await bound(unix(path), { permissions: { mode: 0o666, owner: undefined, group: undefined } })
  expect(await answer({ path })).toBe('ours')
  expect(lstatSync(path).mode & 0o777).toBe(0o666)
})

for (const [what, make, words] of [
  ['a file', (path: string) => writeFileSync(path, 'precious'), 'a file lies there, and memseal takes over nothing but a socket that nobody listens on. Remove it, or choose another path.'],
  ['a folder', (path: string) => mkdirSync(path), 'a folder lies there'],
  ['a link that leads nowhere', (path: string) => symlinkSync('/nowhere', path), 'a symbolic link to /nowhere lies there'],
] as const) {
  test(`${what} at the path stays as it is`, async () => {
    const path = join(tempFolder(), 's')
    make(path)
    const before = lstatSync(path)
    const same = { ino: before.ino, mode: before.mode, ctimeMs: before.ctimeMs }
    await expect(bound(unix(path))).rejects.toThrow(`cannot listen on unix:${path}: ${words}`)
    expect(lstatSync(path)).toMatchObject(same)
    if (before.isFile()) expect(readFileSync(path, 'utf8')).toBe('precious')
  })
}

test('a link to a socket that nobody listens on stays, and so does the socket', async () => {
  const folder = tempFolder()
  const [path, target] = [join(folder, 's'), join(folder, 'target')]
  await (await otherProcess(target)).kill()
  symlinkSync(target, path)
  await expect(bound(unix(path))).rejects.toThrow(`a symbolic link to ${target} lies there`)
  expect([lstatSync(path).isSymbolicLink(), lstatSync(target).isSocket()]).toEqual([true, true])
})

test('a socket on which somebody listens is left to him', async () => {
  const path = join(tempFolder(), 's')
  await otherProcess(path)
  await expect(bound(unix(path))).rejects.toThrow('another process listens there. Stop it, or choose another path.')
  expect(await answer({ path })).toBe('theirs')
})

test('an owner that does not get round to accept, its queue full, is an owner', async () => {
  const path = join(tempFolder(), 's')
  const owner = await otherProcess(path, 1)
  owner.stop()
  const crowd = Array.from({ length: 8 }, () => connect({ path }).on('error', () => {}))
  await atEndOfTest(async () => { for (const socket of crowd) socket.destroy() })
  expect(await answer({ path })).toBe('EAGAIN')
  await expect(bound(unix(path))).rejects.toThrow('another process listens there')
  expect(lstatSync(path).isSocket()).toBe(true)
})

test('a second listener of this very process finds the first', async () => {
  const folder = tempFolder()
  await bound(unix(join(folder, 's')))
  await expect(bound(unix(join(folder, '.', 's')))).rejects.toThrow('another process listens there')
  await expect(bound(unix(`${folder}/x/../s`))).rejects.toThrow()
  expect(await answer({ path: join(folder, 's') })).toBe('ours')
})

test('the folder of the path is told when it is missing, a file, or not to be written', async () => {
  const folder = tempFolder()
  await expect(bound(unix(join(folder, 'no', 's')))).rejects.toThrow(`there is no folder ${join(folder, 'no')}. Create it, owned by the user of memseal.`)
  writeFileSync(join(folder, 'file'), '')
  await expect(bound(unix(join(folder, 'file', 's')))).rejects.toThrow(`${join(folder, 'file')} is not a folder. Choose another path.`)
  if (isRoot) return
  chmodSync(folder, 0o500)
  await expect(bound(unix(join(folder, 's')))).rejects.toThrow(`not permitted. Let the user of memseal write to ${folder}.`)
})

test('closing removes the socket', async () => {
  const path = join(tempFolder(), 's')
  const made = await bound(unix(path))
  made.close()
  made.close()
  expect(lstatSync(path, { throwIfNoEntry: false })).toBeUndefined()
})

test('closing leaves what another process has put at the path meanwhile', async () => {
  const path = join(tempFolder(), 's')
  const made = await bound(unix(path))
  unlinkSync(path)
  await otherProcess(path)
  made.close()
  expect(await answer({ path })).toBe('theirs')

  const again = await bound(unix(`${path}2`))
  renameSync(`${path}2`, `${path}3`)
  writeFileSync(`${path}2`, 'precious')
  again.close()
  expect(readFileSync(`${path}2`, 'utf8')).toBe('precious')
})

test('a refused owner or mode leaves no socket behind', async () => {
  const path = join(tempFolder(), 's')
  const permissions = { mode: 0o660, owner: 'no-such-user', group: undefined }
  await expect(bound(unix(path), { permissions })).rejects.toThrow('there is no user "no-such-user"')
  expect(lstatSync(path, { throwIfNoEntry: false })).toBeUndefined()
})

test.skipIf(!hasIPv6)('localhost is 127.0.0.1 and ::1, a free port the same one on both', async () => {
  const { address: { address, port }, remarks } = await bound(tcp('localhost'))
  expect([address, remarks]).toEqual(['127.0.0.1', []])
  for (const host of ['127.0.0.1', '::1']) expect(await answer({ host, port: port! })).toBe('ours')
  const again = await bound(tcp('localhost')).then(made => { made.close(); return made.address.port })
  expect(again).not.toBe(port)
})

test.skipIf(!hasIPv6)('localhost, one of its addresses taken: which one is told, and the other is given back', async () => {
  for (const [host, text, other] of [['127.0.0.1', '127.0.0.1', '::1'], ['::1', '[::1]', '127.0.0.1']]) {
    const taken = createServer().listen(0, host)
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    await expect(bound(tcp('localhost', port))).rejects.toThrow(
      `cannot listen on localhost:${port}: another process listens on ${text}:${port}. Stop it, or choose another port`)
    expect(await answer({ host: other, port })).toBe('ECONNREFUSED')
    taken.close()
  }
})

for (const code of ['EADDRNOTAVAIL', 'EAFNOSUPPORT']) {
  test(`localhost on a host without ::1 (${code}) is 127.0.0.1, which is nothing to worry about`, async () => {
    const made = await bound(tcp('localhost'), { make: without({ '::1': code }) })
    expect(made.servers.map(server => (server.address() as AddressInfo).address)).toEqual(['127.0.0.1'])
    expect(made.remarks).toEqual([{ level: 'debug', words: 'this host has no ::1, so localhost is one address here' }])
  })
}

test('[::] on a host without IPv6 is 0.0.0.0, with a warning', async () => {
  const made = await bound(tcp('::'), { make: without({ '::': 'EAFNOSUPPORT' }) })
  expect(made.address.address).toBe('0.0.0.0')
  expect((await bound(tcp('0:0::0'), { make: without({ '0:0::0': 'EAFNOSUPPORT' }) })).address.address).toBe('0.0.0.0')
  expect(made.remarks).toEqual([{ level: 'warn', words: 'this host has no IPv6, so only IPv4 clients get in: it listens on 0.0.0.0' }])
  await expect(bound(tcp('::'), { make: without({ '::': 'EADDRINUSE' }) })).rejects.toThrow('another process listens there')
})

test.skipIf(!hasIPv6)('[::] takes both families, whatever the host has as its default', async () => {
  const { address: { port } } = await bound(tcp('::'))
  for (const host of ['127.0.0.1', '::1']) expect(await answer({ host, port: port! })).toBe('ours')
})

test('another address of IPv6 on a host without it is refused, with what to write', async () => {
  await expect(bound(tcp('::1', 4), { make: without({ '::1': 'EAFNOSUPPORT' }) }))
    .rejects.toThrow('cannot listen on [::1]:4: this host has no IPv6. Write 127.0.0.1:4.')
  await expect(bound(tcp('::1', 4), { make: without({ '::1': 'EADDRNOTAVAIL' }) })).rejects.toThrow('this host has no IPv6. Write 127.0.0.1:4.')
  await expect(bound(tcp('fd00::1', 4), { make: without({ 'fd00::1': 'EAFNOSUPPORT' }) }))
    .rejects.toThrow('this host has no IPv6. Write an IPv4 address of its own (ip address), or 0.0.0.0.')
  await expect(bound(tcp('192.0.2.1', 4), { make: without({ '192.0.2.1': 'EADDRNOTAVAIL' }) }))
    .rejects.toThrow('this host has no such address. Write one of its own (ip address), or 0.0.0.0 or [::].')
})

for (const [host, setting, endpoint, listens] of [
  ['whose IPv6 sockets take IPv6 alone by default', 'bindv6only=1', '::', [':::1', '127.0.0.1 ok', '::1 ok']],
  ['where IPv6 is switched off on all interfaces', 'conf/all/disable_ipv6=1', 'localhost', ['127.0.0.1:1', '127.0.0.1 ok']],
  ['where IPv6 is switched off on all interfaces', 'conf/all/disable_ipv6=1', '::', [':::1', '127.0.0.1 ok']],
] as const) {
  test.skipIf(!mayUnshare)(`a real host ${host}, ${endpoint} (skipped without root and network namespaces)`, () => {
    const [file, value] = setting.split('=')
    const script = `
      const { bind } = await import(${JSON.stringify(fileURLToPath(new URL('../../src/lib/bind.ts', import.meta.url)))})
      const { connect, createServer } = await import('node:net')
      const made = await bind({ kind: 'tcp', host: '${endpoint}', port: 0 }, { make: () => createServer(socket => socket.destroy()) })
      console.log(made.address.address + ':' + made.servers.length)
      for (const host of ['127.0.0.1', '::1']) {
        await new Promise(next => connect(made.address.port, host, () => console.log(host + ' ok')).on('error', () => {}).on('close', next))
      }
      made.close()`
    const { stdout, stderr } = spawnSync('unshare', ['-n', 'sh', '-c',
      `ip link set lo up && echo ${value} > /proc/sys/net/ipv6/${file} && exec "$0" --input-type=module -e "$1"`, process.execPath, script], { encoding: 'utf8' })
    expect(stdout.trim().split('\n'), stderr).toEqual(listens)
  })
}
