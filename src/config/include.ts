import { globSync } from 'node:fs'
import { isMap, isScalar, isSeq, Pair, Scalar, YAMLMap, type Document, type Node } from 'yaml'
import { openPage } from './page.ts'
import { Problem } from './problem.ts'
import { isPattern, type Reading } from './reading.ts'

// `include`: services from more files. Their nodes are put into the document as if they stood there, and the reading is told
// whose they are, so that each fault is shown at its own file, line and column.

export function includeFiles(reading: Reading, document: Document): void {
  const asked = isMap(document.contents) ? document.contents.get('include', true) as unknown as Node | undefined : undefined
  if (asked === undefined) return
  const list = reading.resolve(asked)
  const entries = isSeq(list) ? list.items as Node[] : [asked]
  const seen = new Set<string>()
  for (const [at, entry] of entries.entries()) {
    const path = isSeq(list) ? `include[${at}]` : 'include'
    for (const file of filesOf(entry, path, reading)) {
      if (seen.has(file)) continue
      seen.add(file)
      includeFile(file, entry, path, reading, document)
    }
  }
}

/** A fault of the entry itself is told when the schema reads it. */
function filesOf(entry: Node, path: string, reading: Reading): string[] {
  const text = reading.text(entry)
  if (text instanceof Problem || text === '') return []
  reading.settle(path, entry)
  const pattern = reading.absolutePattern(text, { path, node: entry })
  if (!isPattern(pattern)) return [pattern]
  const files = globSync(pattern).sort()
  if (files.length === 0) {
    reading.warn(path, `no file fits ${text}.`, 'Write the files, or remove the line.')
  }
  return files
}

function includeFile(file: string, entry: Node, path: string, reading: Reading, document: Document): void {
  reading.included.push(file)
  const page = openPage(file, 'Write the path of a file that memseal may read.')
  if (page instanceof Problem) {
    reading.isUnread = true
    reading.fault(path, entry, page)
    return
  }
  if (Array.isArray(page)) {
    reading.issues.push(...page)
    return
  }
  reading.adopt(page)
  const { contents } = page.document
  if (contents === null) return
  if (!isMap(contents)) {
    reading.fault('', contents as Node, new Problem('an included file takes `services`, not a value.', 'Write services: and their names below it.'))
    return
  }
  for (const pair of contents.items) addPair(pair as Pair<Node, Node | null>, reading, document)
}

function addPair(pair: Pair<Node, Node | null>, reading: Reading, document: Document): void {
  const key = isScalar(pair.key) ? String(pair.key.value) : String(pair.key)
  if (key !== 'services') {
    reading.fault(key, pair.key, new Problem(`"${key}" stands in an included file, and only \`services\` may.`, 'Write it in the main file.'))
    return
  }
  const services = pair.value === null ? undefined : reading.resolve(pair.value)
  if (!isMap(services)) {
    reading.fault('services', pair.value ?? pair.key, new Problem('holds no service.', "Write a name below it, and the service's keys below that."))
    return
  }
  servicesOf(document).items.push(...services.items)
}

function servicesOf(document: Document): YAMLMap {
  const root = document.contents as unknown as YAMLMap
  const found = root.items.find(pair => String(pair.key) === 'services') as Pair<Node, Node | null> | undefined
  if (isMap(found?.value)) return found.value
  const made = new YAMLMap()
  if (found !== undefined) found.value = made
  else root.items.push(new Pair(new Scalar('services'), made))
  return made
}
