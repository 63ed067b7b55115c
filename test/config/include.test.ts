import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { issueText } from '../../src/config/issue.ts'
import { loadFile } from '../../src/config/load.ts'
import { tempFolder } from '../support/temp-folder.ts'

/** Writes the files into a new folder and loads `main.yaml` there, paths relative to it. */
function load(files: Record<string, string>) {
  const folder = tempFolder()
  mkdirSync(join(folder, 'd'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  const loaded = loadFile(join(folder, 'main.yaml'), { environment: {}, directory: folder })
  return { loaded, issues: loaded.issues.map(issue => issueText(issue).replaceAll(`${folder}/`, '')) }
}

test('services come from all files that fit, besides those of the main file', () => {
  const { loaded, issues } = load({
    'main.yaml': 'include: d/*.yaml\nservices:\n  a: { listen: 127.0.0.1:1 }\n',
    'd/b.yaml': 'services:\n  b: { listen: 127.0.0.1:2 }\n',
    'd/c.yaml': 'services:\n  c: &c { listen: 127.0.0.1:3 }\n',
    'd/d.yaml': '# nothing yet\n',
    'd/e.txt': 'not: read\n',
  })
  expect(issues).toEqual([])
  expect(Object.keys(loaded.config!.services)).toEqual(['a', 'b', 'c'])
  expect(loaded.origins.get('services.c.listen')).toMatchObject({ kind: 'file', file: expect.stringMatching(/d\/c\.yaml$/), line: 2 })
})

test('the main file may be nothing but includes; an alias is looked for in its own file', () => {
  const { loaded, issues } = load({
    'main.yaml': 'include: [d/a.yaml, d/b.yaml, d/*.yaml]\n',
    'd/a.yaml': 'services:\n  a: { listen: 127.0.0.1:11, backend: { connect: [&place 127.0.0.1:1, *place] } }\n',
    'd/b.yaml': 'services:\n  b: { listen: 127.0.0.1:12, backend: { connect: [&place 127.0.0.1:2, *place] } }\n',
  })
  expect(issues).toEqual([])
  expect(loaded.config!.services['b'].backend.connect).toEqual(Array(2).fill({ kind: 'tcp', host: '127.0.0.1', port: 2 }))
})

test('a fault is shown at its own file, line and column', () => {
  const { issues } = load({
    'main.yaml': 'include: d/*.yaml\nservices:\n  a: { listen: 127.0.0.1:1 }\n',
    'd/b.yaml': '\n\nservices:\n  b:\n    listen: 127.0.0.1\n  a: { listen: 127.0.0.1:2 }\n',
    'd/c.yaml': 'log: { level: info }\nservices:\n  c: { listen: 0.0.0.0:1, lissten: x }\n',
    'd/e.yaml': 'services: [\n',
  })
  expect(issues).toContainEqual(expect.stringMatching(/^d\/b\.yaml:5:13 {2}services\.b\.listen: /))
  expect(issues).toContainEqual(expect.stringMatching(/^d\/b\.yaml:6:3 {2}services\.a: stands here twice, first in main\.yaml:3:3\./))
  expect(issues).toContainEqual(expect.stringMatching(/^d\/c\.yaml:1:1 {2}log: "log" stands in an included file, and only `services` may\./))
  expect(issues).toContainEqual(expect.stringMatching(/^d\/c\.yaml:3:27 {2}services\.c\.lissten: /))
  expect(issues).toContainEqual(expect.stringMatching(/^d\/e\.yaml:\d+:\d+ {2}this is not YAML: /))
})

test('a named file has to be there; wildcards that fit nothing are told', () => {
  const { issues } = load({ 'main.yaml': 'services:\n  a: { listen: 127.0.0.1:1 }\ninclude: [d/no.yaml, "d/*.yaml", d]\n' })
  expect(issues).toEqual([
    expect.stringContaining('main.yaml:3:11  include[0]: d/no.yaml: there is no such file.'),
    expect.stringContaining('main.yaml:3:22  warning: include[1]: no file fits d/*.yaml.'),
    expect.stringMatching(/^main\.yaml:3:34 {2}include\[2\]: .*d: this is a folder\./),
  ])
})
