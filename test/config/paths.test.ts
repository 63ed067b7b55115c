import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { issueText } from '../../src/config/issue.ts'
import { loadFile, loadGiven, loadText } from '../../src/config/load.ts'
import { tempFolder } from '../support/temp-folder.ts'

/** Writes files below a new folder; memseal is started in `work` and reads `etc/m.yaml`. */
function load(files: Record<string, string>, environment: NodeJS.ProcessEnv = {}) {
  const folder = tempFolder()
  for (const [name, text] of Object.entries({ 'work/.keep': '', ...files })) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  const loaded = loadFile(join(folder, 'etc/m.yaml'), { environment, directory: join(folder, 'work') })
  const short = (text: string | undefined): string | undefined => text?.replaceAll(`${folder}/`, '')
  return { loaded, issues: loaded.issues.map(issue => short(issueText(issue).replace(/\n +/, ' '))), short }
}

const service = (cert: string): string => `services:\n  m:\n    listen: 127.0.0.1:1\n    tls: { cert: ${cert}, key: /k }\n`

test('a relative path starts at the folder of the configuration, whether the file is there yet or not', () => {
  for (const files of [{ 'etc/a.crt': '' }, {}, { 'etc/a.crt': '', 'work/a.crt': '' }] as Record<string, string>[]) {
    const { loaded, issues, short } = load({ 'etc/m.yaml': `log: { file: m.log }\n${service('a.crt')}`, ...files })
    expect(issues).toEqual([])
    expect([loaded.config!.services['m'].tls!.cert, loaded.config!.log.file].map(short)).toEqual(['etc/a.crt', 'etc/m.log'])
  }
})

test('what is in the working folder alone is taken from there, with a warning', () => {
  const { loaded, issues, short } = load({ 'etc/m.yaml': service('pki/a.crt'), 'work/pki/a.crt': '' })
  expect(short(loaded.config!.services['m'].tls!.cert)).toBe('work/pki/a.crt')
  expect(issues).toEqual([
    'etc/m.yaml:4:18  warning: services.m.tls.cert: "pki/a.crt" is not in etc, where this file lies, but in work, and was taken from there. ' +
    'Write work/pki/a.crt.'])
})

test('an included file is a file like any: its own folder first, then that of the main file', () => {
  const files = { 'etc/m.yaml': 'include: more/*.yaml\n', 'etc/more/m.yaml': service('a.crt') }
  for (const [more, cert, warnings] of [[{ 'etc/more/a.crt': '', 'etc/a.crt': '' }, 'etc/more/a.crt', 0], [{ 'etc/a.crt': '' }, 'etc/a.crt', 1], [{}, 'etc/more/a.crt', 0]] as const) {
    const { loaded, issues, short } = load({ ...files, ...more })
    expect(short(loaded.config!.services['m'].tls!.cert)).toBe(cert)
    expect(issues).toHaveLength(warnings)
  }
})

test('an include is looked for in the same way', () => {
  for (const pattern of ['more/*.yaml', 'more/m.yaml']) {
    const { loaded, issues, short } = load({ 'etc/m.yaml': `include: ${pattern}\n`, 'work/more/m.yaml': service('a.crt'), 'work/more/a.crt': '' })
    expect(short(loaded.config!.services['m'].tls!.cert)).toBe('work/more/a.crt')
    expect(issues).toEqual([expect.stringContaining(`warning: include: "${pattern}" is not in etc, where this file lies, but in work`)])
  }
  expect(load({ 'etc/m.yaml': `include: no/*.yaml\n${service('a.crt')}` }).issues).toEqual([expect.stringContaining('no file fits no/*.yaml.')])
})

test('a variable within a file starts there; a flag or a variable instead of it starts at the working folder', () => {
  expect(load({ 'etc/m.yaml': service('"${CERT}"'), 'etc/a.crt': '' }, { CERT: 'a.crt' }).loaded.config!.services['m'].tls!.cert).toMatch(/\/etc\/a\.crt$/)
  const given = [
    { path: ['services', 'memcached', 'tls', 'cert'], value: 'a.crt', origin: { kind: 'flag', name: '--cert' } },
    { path: ['services', 'memcached', 'tls', 'key'], value: 'a.key', origin: { kind: 'environment', name: 'MEMSEAL_KEY' } },
    { path: ['services', 'memcached', 'listen'], value: '127.0.0.1:1', origin: { kind: 'flag', name: '--listen' } },
  ] as const
  expect(loadGiven({ environment: {}, given, directory: '/srv/cache' }).config!.services['memcached'].tls).toMatchObject({ cert: '/srv/cache/a.crt', key: '/srv/cache/a.key' })
})

test('a configuration without a folder of its own, as from a pipe, still finds what is in the working folder', () => {
  const folder = tempFolder()
  writeFileSync(join(folder, 'a.crt'), '')
  const { config, issues } = loadText(service('a.crt'), '/dev/fd/63', { environment: {}, directory: folder })
  expect([config!.services['m'].tls!.cert, issues.length]).toEqual([join(folder, 'a.crt'), 1])
})
