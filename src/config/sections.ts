import { isMap, isScalar, isSeq, Scalar, type Node, type YAMLMap } from 'yaml'
import { originText, type Origin } from './issue.ts'
import type { Fields, Infer, JsonSchema, Kind, Siblings } from './kinds.ts'
import { gapIn, Problem } from './problem.ts'
import type { Reading } from './reading.ts'
import { closest } from './suggest.ts'

// The kinds that hold other kinds: sections with known keys, maps with names of the operator's own, lists.

export type Section<F extends Fields> = { -readonly [K in keyof F]: Infer<F[K]> }

/** Keys that are known by name. Left out as a whole, each key is what it is when left out. */
export function section<F extends Fields>(doc: string, fields: F): Kind<Section<F>> {
  return {
    words: 'section',
    doc,
    shape: { kind: 'section', fields },
    read(node, path, reading) {
      reading.settle(path, node)
      const map = reading.resolve(node)
      if (!isMap(map)) {
        reading.fault(path, node, gapOf(map, `its keys, ${Object.keys(fields).join(', ')}`) ?? (isScalar(map) && map.value === null
          ? new Problem('is empty.',
            `Write its keys below it, or remove the line. It takes ${Object.keys(fields).join(', ')}.`)
          : new Problem('takes keys, not a value.', `Write keys below it: ${Object.keys(fields).join(', ')}.`)))
        return undefined as unknown as Section<F>
      }
      const pairs = entries(map, path, reading)
      for (const { key, keyNode } of pairs) {
        if (!Object.hasOwn(fields, key)) reading.fault(join(path, key), keyNode, unknownKey(key, fields))
      }
      return each(fields, path, reading, key => pairs.find(pair => pair.key === key)?.value)
    },
    absent(path, reading) {
      reading.settle(path, undefined)
      return each(fields, path, reading, () => undefined)
    },
    write: () => '',
    jsonSchema: () => ({
      type: 'object',
      description: doc,
      additionalProperties: false,
      properties: Object.fromEntries(Object.entries(fields).map(([key, kind]) => [key, kind.jsonSchema()])),
      ...requiredOf(fields),
    }),
  }
}

/** Names of the operator's own, each with a value of the same kind. */
export function map<T>(
  of: Kind<T>, options: { doc: string, name: string, pattern: RegExp, nameFix: string, example?: string },
): Kind<Record<string, T>> {
  return {
    words: `one or more ${options.name}s by name`,
    doc: options.doc,
    shape: { kind: 'map', of, placeholder: '<name>', example: options.example },
    read(node, path, reading) {
      reading.settle(path, node)
      const map = reading.resolve(node)
      if (!isMap(map)) {
        reading.fault(path, node, gapOf(map, `a name below it, and the ${options.name}'s keys below that`) ?? new Problem(isSeq(map) ? `is a list, and takes names: one for each ${options.name}.` : `holds no ${options.name}.`,
          `Write a name below it, and the ${options.name}'s keys below that.`))
        return {}
      }
      const pairs = entries(map, path, reading)
      for (const { key, keyNode } of pairs) {
        if (options.pattern.test(key)) continue
        reading.fault(join(path, key), keyNode, new Problem(`"${key}" is not a name for a ${options.name}.`, options.nameFix))
      }
      if (map.items.length === 0) reading.fault(path, node, new Problem(`holds no ${options.name}.`,
        `Write a name below it, and the ${options.name}'s keys below that.`))
      return Object.fromEntries(pairs.map(({ key, value }) => [key, of.read(value, join(path, key), reading)]))
    },
    absent(path, reading) {
      reading.fault(path, undefined, new Problem(`is missing: there is no ${options.name}.`,
        `Write ${path}: with a name below it, and the ${options.name}'s keys below that.`))
      return {}
    },
    write: () => '',
    jsonSchema: () => ({
      type: 'object', description: options.doc, minProperties: 1, additionalProperties: false,
      patternProperties: { [options.pattern.source]: of.jsonSchema() },
    }),
  }
}

/** A list, or one value that stands for a list of one. Left out and without a default it is a fault; `default: ''` is
 *  the empty list. */
export function list<T>(
  of: Kind<T>, options: { doc: string, default?: string, min?: number, max: number, example?: string, reload?: 'restart' },
): Kind<T[]> {
  const min = options.min ?? 0
  const problemWith = (length: number): Problem | undefined => {
    if (length < min) return new Problem('is an empty list.', `Write at least ${min}: ${of.words.replaceAll('`', '')}.`)
    if (length > options.max) return new Problem(`has ${length} entries, and ${options.max} are the most.`,
      'Write fewer.')
    return undefined
  }
  return {
    words: `list of ${of.words}, or one`,
    doc: options.doc,
    default: options.default === undefined ? undefined : `[${options.default}]`,
    example: options.example,
    reload: options.reload,
    shape: { kind: 'list', of },
    read(node, path, reading) {
      reading.settle(path, node)
      const seq = reading.resolve(node)
      if (!isSeq(seq)) return [of.read(node, path, reading)]
      const problem = problemWith(seq.items.length)
      if (problem !== undefined) {
        reading.fault(path, node, problem)
        return []
      }
      return seq.items.map((item, at) => of.read(item as Node, `${path}[${at}]`, reading))
    },
    absent(path, reading, siblings) {
      if (options.default === undefined) return [of.absent(path, reading, siblings)]
      reading.settle(path, undefined)
      if (options.default === '') return []
      return reading.defaults(of, options.default.split(', '), path)
    },
    write: values => values.map(value => of.write(value)).join(', '),
    jsonSchema: () => {
      const item: JsonSchema = of.jsonSchema()
      delete item['description']
      return { description: options.doc, anyOf: [item, { type: 'array', items: item, minItems: min, maxItems: options.max }] }
    },
  }
}

/** A key that may be left out and is then undefined. */
export function optional<T>(of: Kind<T>): Kind<T | undefined> {
  return {
    ...of,
    isOptional: true,
    absent(path, reading) {
      reading.settle(path, undefined)
      return undefined
    },
    write: value => value === undefined ? 'none' : of.write(value),
  }
}

/** A section, or one word in the place of it. One of the two has to be written. */
export function orWord<W extends string, T>(word: W, of: Kind<T>, example: string): Kind<T | W> {
  return {
    ...of,
    words: `\`${word}\`, or keys`,
    example,
    isRequired: true,
    read(node, path, reading) {
      const scalar = reading.resolve(node)
      if (!isScalar(scalar) || scalar.value === null) return of.read(node, path, reading)
      reading.settle(path, node)
      const text = reading.text(node)
      if (text === word) return word
      reading.fault(path, node, text instanceof Problem ? text : new Problem(`"${text}" is neither ${word} nor keys.`,
        `Write ${word}, or keys below it: ${of.shape?.kind === 'section' ? Object.keys(of.shape.fields).join(', ') : ''}.`))
      return undefined as T
    },
    absent(path, reading) {
      reading.fault(path, undefined, new Problem('is missing.', `Write ${path.slice(path.lastIndexOf('.') + 1)}: ${word}, or keys below it.`))
      return undefined as T
    },
    write: value => value === word ? word : of.write(value as T),
    jsonSchema: () => ({ anyOf: [{ const: word }, of.jsonSchema()] }),
  }
}

function gapOf(node: Node, words: string): Problem | undefined {
  return isScalar(node) && typeof node.value === 'string' ? gapIn(node.value, words) : undefined
}

interface Entry { key: string, keyNode: Node, value: Node }

/** The pairs of a map, without those that came before: the second of two is a fault that names the first's line. */
function entries(map: YAMLMap, path: string, reading: Reading): Entry[] {
  const found = new Map<string, Entry>()
  for (const pair of map.items) {
    const keyNode = pair.key as Node
    const key = isScalar(keyNode) ? keyNode.source ?? String(keyNode.value) : String(keyNode)
    const first = found.get(key)
    const gap = gapIn(key, 'a name')
    if (gap !== undefined) reading.fault(path, keyNode, gap)
    else if (first !== undefined) {
      reading.fault(join(path, key), keyNode, new Problem(
        `stands here twice, first ${otherPlace(reading.originOf(first.keyNode), reading.originOf(keyNode))}.`, 'Remove one of the two.'))
    } else {
      found.set(key, { key, keyNode, value: (pair.value ?? nothingAt(keyNode)) as Node })
    }
  }
  return [...found.values()]
}

function otherPlace(first: Origin, second: Origin): string {
  if (first.kind !== 'file') return `from ${originText(first)}`
  return second.kind === 'file' && second.file !== first.file ? `in ${originText(first)}` : `on line ${first.line}`
}

function nothingAt(keyNode: Node): Node {
  const nothing = new Scalar(null)
  nothing.range = keyNode.range
  return nothing
}

function each<F extends Fields>(
  fields: F, path: string, reading: Reading, nodeOf: (key: string) => Node | undefined,
): Section<F> {
  const values: Record<string, unknown> = {}
  for (const [key, kind] of Object.entries(fields)) {
    const node = nodeOf(key)
    const at = join(path, key)
    values[key] = node === undefined ? kind.absent(at, reading, values as Siblings) : kind.read(node, at, reading)
  }
  return values as Section<F>
}

function unknownKey(key: string, fields: Fields): Problem {
  const near = closest(key, Object.keys(fields))
  if (near !== undefined) return new Problem(`there is no key "${key}" here.`, `Did you mean ${near}?`)
  // A right key in the wrong place is the other common slip.
  for (const [name, kind] of Object.entries(fields)) {
    if (kind.shape?.kind !== 'section' || !Object.hasOwn(kind.shape.fields, key)) continue
    return new Problem(`there is no key "${key}" here.`, `Write it below ${name}.`)
  }
  return new Problem(`there is no key "${key}" here.`, `Remove it; the keys here are ${Object.keys(fields).join(', ')}.`)
}

function requiredOf(fields: Fields): JsonSchema {
  const required = Object.entries(fields).filter(([, kind]) => isRequired(kind)).map(([key]) => key)
  return required.length === 0 ? {} : { required }
}

/** Must it be written? A section must when a key of its own must. */
export function isRequired(kind: Kind<any>): boolean {
  if (kind.isRequired) return true
  if (kind.isOptional || kind.default !== undefined) return false
  return kind.shape?.kind === 'section' ? Object.values(kind.shape.fields).some(isRequired) : true
}

export function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}
