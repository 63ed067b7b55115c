import { once } from 'node:events'
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runMemseal, startDaemon, toYaml } from '../support/daemon.ts'
import { pki } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'

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
  expect(await runMemseal(['run', '--config', file])).toMatchObject({ code: 1, stdout: expect.stringContaining('another process listens there.') })
  await new Promise(resolve => holder.close(resolve))
})
