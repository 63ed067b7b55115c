import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { issueText } from '../../src/config/issue.ts'
import { loadFile } from '../../src/config/load.ts'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { connect } from '../support/wire.ts'

// `access: rules.yaml`: rules in a file of their own, which is followed as certificates are.

function load(rules: string | undefined) {
  const folder = tempFolder()
  const file = join(folder, 'memseal.yaml')
  writeFileSync(file, 'services:\n  cache:\n    listen: 127.0.0.1:1\n    access: rules.yaml\n')
  if (rules !== undefined) writeFileSync(join(folder, 'rules.yaml'), rules)
  const loaded = loadFile(file, { environment: {} })
  return { loaded, issues: loaded.issues.map(issue => issueText(issue).replaceAll(`${folder}/`, '')) }
}

test('the rules of the file are those of the service, as a list or below access:', () => {
  for (const rules of ['- { name: all, match: everyone }\n', 'access:\n  - { name: all, match: everyone }\n', '{ name: all, match: everyone }\n']) {
    const { loaded, issues } = load(rules)
    expect(issues).toEqual([])
    expect(loaded.config!.services['cache'].access).toMatchObject([{ name: 'all', match: 'everyone' }])
    expect([...loaded.accessFiles]).toEqual([['cache', expect.stringMatching(/rules\.yaml$/)]])
  }
})

test('a fault is shown at its own file, line and column', () => {
  expect(load('- name: all\n  match: everyone\n  comands: read\n').issues).toEqual([expect.stringMatching(/^rules\.yaml:3:3 {2}services\.cache\.access\[0\]\.comands: there is no key "comands" here\.\n *Did you mean commands\?$/)])
  expect(load('- { name: all, match: everyone\n').issues[0]).toMatch(/^rules\.yaml:/)
  for (const [rules, words] of [[undefined, 'rules.yaml: there is no such file.'], ['', 'rules.yaml holds no rule.']] as const) {
    const { loaded, issues } = load(rules)
    expect(issues).toEqual([expect.stringContaining(`memseal.yaml:4:13  services.cache.access: ${words}`)])
    expect(loaded.config).toBeUndefined()
  }
})

test('a changed file is in force by itself, and one that is broken leaves the rules as they were', async () => {
  const memcached = await startMemcached()
  const folder = tempFolder()
  mkdirSync(folder, { recursive: true })
  const rules = join(folder, 'rules.yaml')
  writeFileSync(rules, '- { name: all, match: everyone, commands: [read] }\n')
  const daemon = await startDaemon({ services: { cache: { listen: '127.0.0.1:0', backend: { connect: memcached.address }, access: rules } } })
  const wire = await connect({ port: daemon.port() })
  const NO = 'CLIENT_ERROR memseal: command not allowed\r\n'
  expect(await wire.ask('set a 0 0 1\r\nx\r\n', NO.length)).toBe(NO)
  writeFileSync(rules, '- { name: all, match: everyone, commands: [read, write] }\n')
  await daemon.waitForLog('reloaded')
  expect(await wire.ask('set a 0 0 1\r\nx\r\n', 8)).toBe('STORED\r\n')
  writeFileSync(rules, '- { name: all, match: nobody }\n')
  expect((await daemon.waitForLog('reload-refused')).msg).toContain('rules.yaml:1:23 services.cache.access[0].match: "nobody" is neither everyone nor keys.')
  expect(await wire.ask('set a 0 0 1\r\nx\r\n', 8)).toBe('STORED\r\n')
  rmSync(rules)
  expect(await wire.ask('get b\r\n', 5)).toBe('END\r\n')
  writeFileSync(rules, '- { name: all, match: everyone, commands: [read] }\n')
  await daemon.waitForLog(() => daemon.logs('reloaded').length > 1)
  expect(await wire.ask('set a 0 0 1\r\nx\r\n', NO.length)).toBe(NO)
})
