import { expect, test } from 'vitest'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { commands } from '../../src/cli/commands.ts'
import { issueText } from '../../src/config/issue.ts'
import type { Fields, Kind } from '../../src/config/kinds.ts'
import { loadText } from '../../src/config/load.ts'
import { schema } from '../../src/config/schema.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const file = (name: string) => readFileSync(join(root, name), 'utf8')
const readme = file('README.md')

function blocks(language: string): string[] {
  return [...readme.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].filter(([, kind]) => kind === language).map(([, , text]) => text)
}

test('every configuration in the README is one that memseal takes', () => {
  const whole = blocks('yaml').filter(text => text.includes('services:'))
  expect(whole.length).toBeGreaterThan(1)
  for (const text of whole) {
    expect(loadText(text, 'README', { environment: {} }).issues.map(issueText)).toEqual([])
    expect(text, 'the commands that ask the daemon need it').toContain('admin:')
  }
  const smallest = 'services: { m: { listen: "127.0.0.1:0" } }\n'
  for (const text of blocks('yaml').filter(each => !whole.includes(each))) {
    expect(loadText(text + smallest, 'README', { environment: {} }).issues.map(issueText)).toEqual([])
  }
})

test('every command that the README says to paste exists, with its flags', () => {
  const pasted = blocks('sh').join('').replace(/\\\n\s*/g, ' ').split('\n').flatMap(line => line.replace(/#.*/, '').split('&&'))
    .map(part => part.trim().split(/\s+/)).filter(([program]) => program === 'memseal').map(words => words.slice(1))
  expect(pasted.length).toBeGreaterThan(10)
  for (const words of pasted) {
    const line = words.join(' ')
    if (/^--(version|help)$/.test(line)) continue
    const command = commands.find(({ name }) => line === name || line.startsWith(`${name} `))
    expect(command, line).toBeDefined()
    for (const flag of words.filter(word => word.startsWith('--'))) expect(command!.flags.map(({ name }) => `--${name}`), line).toContain(flag)
  }
})

test('the limits that the README lists have those defaults', () => {
  const limits = Object.fromEntries(Object.entries(fieldsAt('services', 'limits')).filter(([, { shape }]) => shape === undefined))
  const rows = [...readme.matchAll(/^\| (`[a-z_\d]+`(?:, `[a-z_\d]+`)*) \| ([^|]*) \| [^|]* \|$/gm)]
    .flatMap(([, keys, values]) => keys.split(', ').map((key, at) => [key.slice(1, -1), values.split(', ')[at]]))
    .filter(([key]) => key in limits)
  expect(rows.map(([key]) => key).sort()).toEqual(Object.keys(limits).sort())
  for (const [key, value] of rows) expect(limits[key].default, key).toBe(value)
})

test.each(['README.md', 'src/README.md', 'CHANGELOG.md', 'config/METRICS.md', 'config/REFERENCE.md'])('what %s points to is there', name => {
  const text = file(name)
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) => title.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-'))
  for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^https?:/.test(target)) continue
    if (target.startsWith('#')) expect(headings, target).toContain(target.slice(1))
    else expect(existsSync(join(root, dirname(name), target.split('#')[0])), target).toBe(true)
  }
})

/** Keys of a section; `services` stands for any service. */
function fieldsAt(...path: string[]): Fields {
  let kind: Kind<any> = schema
  for (const key of path) {
    const { shape } = kind
    if (shape?.kind === 'section') kind = shape.fields[key]
    if (kind.shape?.kind === 'map') kind = kind.shape.of
  }
  return kind.shape?.kind === 'section' ? kind.shape.fields : {}
}
