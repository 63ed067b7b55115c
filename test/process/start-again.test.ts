import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { runMemseal, startDaemon, toYaml } from '../support/daemon.ts'
import { pki } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { connect } from '../support/wire.ts'

// A service manager does not start again what ended with 78 (RestartPreventExitStatus), and starts again what ended with 1.

const plain = { services: { cache: { listen: '127.0.0.1:0' } } }

function fileWith(text: string): string {
  const file = join(tempFolder(), 'memseal.yaml')
  writeFileSync(file, text)
  return file
}

test('what is written wrong ends a start with 78: nothing mends it but an editor', async () => {
  for (const text of ['services: [', 'services: {}\nworkers: 0x\n', toYaml({ services: { cache: { listen: '0.0.0.0:0' } } })]) {
    expect(await runMemseal(['run', '--config', fileWith(text)])).toMatchObject({ code: 78 })
  }
})

test('a configuration that is not there yet ends it with 1, and so does one that it includes', async () => {
  const file = fileWith(toYaml(plain))
  expect(await runMemseal(['run', '--config', `${file}.late`])).toMatchObject({ code: 1, stderr: expect.stringContaining('there is no such file.') })
  const including = fileWith(toYaml({ ...plain, include: `${file}.late` }))
  expect(await runMemseal(['run', '--config', including])).toMatchObject({ code: 1, stderr: expect.stringContaining(`${file}.late: there is no such file.`) })
  // A folder where the file is to be: mounted too early, or by mistake.
  mkdirSync(`${file}.folder`)
  expect(await runMemseal(['run', '--config', `${file}.folder`])).toMatchObject({ code: 1, stderr: expect.stringContaining('this is a folder.') })
})

test('a certificate, key or CA that is late ends it with 1, and the next start takes it', async () => {
  const { ca, server, client } = await pki()
  for (const late of [server.certFile, server.keyFile, ca.certFile]) {
    const place = join(tempFolder(), 'late.pem')
    const at = (file: string): string => (file === late ? place : file)
    const config = toYaml({ services: { cache: {
      listen: '127.0.0.1:0', tls: { cert: at(server.certFile), key: at(server.keyFile), client_ca: at(ca.certFile) },
      backend: { tls: { ca: at(ca.certFile), cert: client.certFile, key: client.keyFile } },
    } } })
    expect(await runMemseal(['run', '--config', fileWith(config)])).toMatchObject({ code: 1, stdout: expect.stringContaining(`there is no file ${place}.`) })
    copyFileSync(late, `${place}.new`)
    renameSync(`${place}.new`, place)
    await startDaemon(config)
  }
})

test('a port that is held ends it with 1', async () => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  const file = fileWith(toYaml({ services: { cache: { listen: `127.0.0.1:${port}` } } }))
  expect(await runMemseal(['run', '--config', file])).toMatchObject({ code: 1, stdout: expect.stringContaining('another process listens there. Stop it, or choose another port') })
  await new Promise(resolve => holder.close(resolve))
})

test('a log that cannot be written is told on standard output, clients are served, and it is opened as soon as it can be', async () => {
  const daemon = await startDaemon(folder => ({ ...plain, log: { file: join(folder, 'late/memseal.log') } }))
  const file = join(daemon.folder, 'late/memseal.log')
  expect(daemon.logs('log-file-unavailable')).toMatchObject([{ level: 'error', msg: expect.stringMatching(
    /late\/memseal\.log cannot be opened for the log: there is no folder .*\. Make the folder, .*\. Until then the log goes to standard output\.$/) }])
  const wire = await connect({ port: daemon.port() })
  void wire.write('get a\r\n')
  expect(await wire.readLine()).toMatch(/^SERVER_ERROR memseal: /)   // there is no memcached here
  mkdirSync(join(daemon.folder, 'late'))
  await vi.waitUntil(() => existsSync(file) && readFileSync(file, 'utf8').includes('"event":"log-reopened","cause":"retry"'), { timeout: 150_000 })
  expect(await daemon.stop()).toBe(0)
  expect(readFileSync(file, 'utf8')).toContain('"event":"ended"')
})

test('why a start fails is told on standard error too where the log is a file, and once where it is a stream', async () => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  const log = join(tempFolder(), 'memseal.log')
  const start = (file: string): ReturnType<typeof runMemseal> =>
    runMemseal(['run', '--config', fileWith(toYaml({ log: { file }, services: { cache: { listen: `127.0.0.1:${port}` } } }))])
  const why = /another process listens there\. Stop it, or choose another port/g
  expect(await start(log)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^memseal could not start: cannot listen on .*another process listens there/) })
  expect(readFileSync(log, 'utf8')).toMatch(why)
  for (const stream of ['-', '/dev/stdout', '/dev/stderr']) {
    const { stdout, stderr } = await start(stream)
    expect(`${stdout}${stderr}`.match(why)).toHaveLength(1)
  }
  await new Promise(resolve => holder.close(resolve))
})
