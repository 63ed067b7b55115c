import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { oldestNode } from '../../src/process/node-version.ts'
import { runMemseal } from '../support/daemon.ts'

const source = (file: string): string => readFileSync(fileURLToPath(new URL(`../../src/${file}`, import.meta.url)), 'utf8')
/** A Node that says that it is another. */
const posingAs = (version: string): string[] => ['--import', `data:text/javascript,Object.defineProperty(process.versions,"node",{value:"${version}"})`]

test.each(['20.11.1', '23.11.0'])('Node %s is told in one line which is needed and which it is, whatever it was asked', async version => {
  for (const args of [['--version'], ['check', '--config', '/nowhere.yaml'], ['run', '--nonsense']]) {
    const { code, stdout, stderr } = await runMemseal(args, { execArgv: posingAs(version) })
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(new RegExp(`^memseal needs Node 24 or later, and this is Node ${version} \\(.*\\)\\. .*\\n$`))
  }
})

test('the oldest Node that is needed is taken', async () => {
  expect((await runMemseal(['--version'], { execArgv: posingAs(`${oldestNode}.0.0`) })).code).toBe(0)
})

test('package.json asks for the same', () => {
  expect(JSON.parse(source('../package.json')).engines.node).toBe(`>=${oldestNode}`)
})

test('what runs before the question imports nothing more, and uses no syntax that Node 12 does not know', () => {
  const read = ['main.ts', 'process/early-signals.ts', 'process/node-version.ts']
  for (const file of read) {
    const code = source(file).replace(/^\s*\/\/.*$/gm, '')
    const imports = [...code.matchAll(/^(?:import|export .* from) .*?'(.*)'/gm)].map(match => match[1])
    expect(imports).toEqual(file === 'main.ts' ? ['./process/early-signals.ts', './process/node-version.ts'] : [])
    expect(code).not.toMatch(/\?\.|\?\?|\|\|=|&&=|^await |^ *(?:const|return|void)? ?await import|#\w+|\d_\d/m)
  }
})
