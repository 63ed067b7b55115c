import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

// Who imports whom in src/, types included:
//
//   lib ◀─ proto ◀─ policy ◀─ proxy ◀─ process ◀─ cli ◀─ main.ts      each may import all that stands to its left
//
//   config, tls, admission, telemetry, admin                          leaves: they may import lib and proto, and not each other;
//                                                                     process wires them together, and cli asks them

const chain = ['lib', 'proto', 'policy', 'proxy', 'process', 'cli', 'main.ts']
const leaves = ['config', 'tls', 'admission', 'telemetry', 'admin']
/** Words that all may use. */
const likeLib = ['errors.ts', 'version.ts']

interface Exception {
  /** A folder of src/, or a file. */
  from: string
  to: string
  /** Only types are imported. */
  isOfTypes?: true
  why: string
}

const exceptions: readonly Exception[] = [
  { from: 'proxy', to: 'telemetry', why: 'what happens is counted and logged where it happens' },
  { from: 'admission', to: 'telemetry', isOfTypes: true, why: 'refusals are counted and logged where they happen' },
  { from: 'admin', to: 'telemetry', why: 'it writes down what was counted' },
  { from: 'tls/handshake-failure.ts', to: 'telemetry/reasons.ts', isOfTypes: true, why: 'the list of reasons stands with all others' },
  { from: 'config/schema.ts', to: 'telemetry/events.ts', why: 'audit.events names events' },
  { from: 'config/schema.ts', to: 'telemetry/audit-settings.ts', why: 'audit.keys is one of its modes' },
  { from: 'proxy', to: 'config/schema.ts', isOfTypes: true, why: 'a service is made of its section of the configuration' },
  { from: 'tls/backend.ts', to: 'config/schema.ts', isOfTypes: true, why: 'it is made of backend.tls' },
  { from: 'policy/peer.ts', to: 'tls/peer.ts', isOfTypes: true, why: 'who a client is, is what its certificate says' },
  { from: 'policy', to: 'tls/certificate-names.ts', isOfTypes: true, why: 'the same, as names that rules are held against' },
  { from: 'proxy/client-session.ts', to: 'tls/record-watch.ts', why: 'the error that ends a flood of empty records has a class of its own' },
  { from: 'proxy/dial.ts', to: 'tls/backend.ts', why: 'it opens connections to memcached in TLS' },
  { from: 'proxy/dial.ts', to: 'tls/backend-failure.ts', why: 'it says in words why one could not be opened' },
  { from: 'proxy/service.ts', to: 'tls/backend.ts', isOfTypes: true, why: 'it hands on what dial.ts opens connections with' },
  { from: 'proxy/backend-pools.ts', to: 'tls/backend.ts', isOfTypes: true, why: 'it hands on what dial.ts opens connections with' },
  { from: 'proxy/target.ts', to: 'tls/backend.ts', isOfTypes: true, why: 'it hands on what dial.ts opens connections with' },
  { from: 'admin/snapshot.ts', to: 'proxy/service-now.ts', isOfTypes: true, why: 'it shows what a service carries' },
  { from: 'admin/snapshot.ts', to: 'tls', isOfTypes: true, why: 'it shows the certificates in force' },
]

interface Import { from: string; to: string; isOfTypes: boolean }

const files = new Map(readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  .map((file) => [file, readFileSync(join('src', file), 'utf8')]))
const imports = [...files].flatMap(([file, text]) => importsOf(file, text))

function importsOf(from: string, text: string): Import[] {
  const statements = text.matchAll(/^(?:import|export)\b(?<type> type\b)?[^'"]*?\bfrom '(?<path>\.[^']*)'|\bimport\(?\s*'(?<bare>\.[^']*)'/gm)
  return [...statements].map(({ groups }) => ({
    from, to: join(dirname(from), groups!['path'] ?? groups!['bare']), isOfTypes: groups!['type'] !== undefined,
  }))
}

/** @returns ways that lead back to where they began; none: there is no such way */
function circlesOf(edges: readonly Pick<Import, 'from' | 'to'>[]): string[] {
  const targets = Map.groupBy(edges, ({ from }) => from)
  const done = new Set<string>()
  const way: string[] = []
  const circles: string[] = []
  const walk = (file: string): void => {
    if (way.includes(file)) return void circles.push([...way.slice(way.indexOf(file)), file].join(' > '))
    if (done.has(file)) return
    way.push(file)
    for (const { to } of targets.get(file) ?? []) walk(to)
    way.pop()
    done.add(file)
  }
  for (const file of targets.keys()) walk(file)
  return circles
}

function folderOf(file: string): string {
  const [first] = file.split('/')
  return likeLib.includes(first) ? 'lib' : first
}

function isInOrder({ from, to }: Pick<Import, 'from' | 'to'>): boolean {
  const [a, b] = [folderOf(from), folderOf(to)]
  if (a === b) return true
  if (leaves.includes(a)) return b === 'lib' || b === 'proto'
  if (leaves.includes(b)) return chain.indexOf(a) >= chain.indexOf('process')
  return chain.indexOf(b) < chain.indexOf(a)
}

const isIn = (file: string, place: string): boolean => file === place || file.startsWith(`${place}/`)
const isCase = ({ from, to }: Import, exception: Exception): boolean => isIn(from, exception.from) && isIn(to, exception.to)

test('each import is read, and is of a file in src', () => {
  const written = [...files.values()].flatMap((text) => text.match(/^(?:\} from|import\b.* from|export\b.* from|import) '\..*'|\bimport\('\./gm) ?? [])
  expect(imports.length).toBe(written.length)
  expect(imports.filter(({ to }) => !files.has(to))).toEqual([])
  expect([...files.keys()].map(folderOf).filter((folder) => !chain.includes(folder) && !leaves.includes(folder))).toEqual([])
})

test('no two files import each other, and no longer way leads back', () => {
  expect(circlesOf([{ from: 'a', to: 'b' }, { from: 'b', to: 'c' }, { from: 'c', to: 'b' }, { from: 'a', to: 'c' }])).toEqual(['b > c > b'])
  expect(circlesOf(imports)).toEqual([])
})

test('imports point one way', () => {
  expect(isInOrder({ from: 'proto/a.ts', to: 'proxy/b.ts' })).toBe(false)
  expect(isInOrder({ from: 'lib/a.ts', to: 'config/b.ts' })).toBe(false)
  expect(isInOrder({ from: 'admin/a.ts', to: 'process/b.ts' })).toBe(false)
  const others = imports.filter((each) => !isInOrder(each) && !exceptions.some((exception) => isCase(each, exception)))
  expect(others).toEqual([])
})

test.each(exceptions)('$from may import $to: $why', (exception) => {
  const cases = imports.filter((each) => isCase(each, exception))
  expect(cases, 'nobody does: take the exception out').not.toEqual([])
  expect(cases.filter(isInOrder), 'that needs no exception').toEqual([])
  expect(cases.every(({ isOfTypes }) => isOfTypes), 'isOfTypes as it is').toBe(exception.isOfTypes === true)
})
