/** The classic text protocol: one request at random, with the reply it must bring. */
import type { Part } from './expected.ts'
import { MOST_VALUE_BYTES, type Key } from './own-keys.ts'
import type { Talk } from './conversation.ts'

export const someFlags = [0, 1, 77, 65_535, 4_294_967_295]
/** From 2^63 on memcached 1.6.18 looks for a minus sign past the end of the number, into what lay there before, and calls a
 *  counter non-numeric in whose place a value with a dash was deleted. Shown without memseal: `set k` of 30 dashes, `delete
 *  k`, `set k` of 18446744073709551611, `incr k 1`. */
const NEARLY_TOO_LARGE = 2n ** 63n - 10_000_000n

export function textRequest(talk: Talk): void {
  const roll = talk.own.random.next()
  if (roll < 0.3) get(talk)
  else if (roll < 0.34) multiget(talk, 100)
  else if (roll < 0.42) multiget(talk, talk.own.random.between(2, 12))
  else if (roll < 0.66) store(talk)
  else if (roll < 0.71) compareAndStore(talk)
  else if (roll < 0.78) remove(talk)
  else if (roll < 0.83) touch(talk)
  else if (roll < 0.93) count(talk)
  else if (roll < 0.97) countTogether(talk)
  else if (roll < 0.985) talk.batch.ask('version', ['version\r\n'], [`VERSION ${talk.version}\r\n`])
  else talk.batch.ask('mn', ['mn\r\n'], ['MN\r\n'])
}

function valueReply(key: Key, hasCas: boolean): (string | Part)[] {
  if (!key.exists) return []
  const head = `VALUE ${key.name} ${key.flags} ${key.bytes}`
  if (!hasCas) return [`${head}\r\n`, key.value, '\r\n']
  return [`${head} `, { digits: key.noteCas() }, '\r\n', key.value, '\r\n']
}

function get(talk: Talk): void {
  const key = talk.own.any()
  const verb = talk.own.random.pick(['get', 'get', 'gets', 'gat 0', 'gats 0'])
  talk.batch.ask(`${verb} ${key.name}`, [`${verb} ${key.name}\r\n`], [...valueReply(key, verb.startsWith('get') ? verb === 'gets' : verb === 'gats 0'), 'END\r\n'])
}

/** Misses and repetitions among them. */
function multiget(talk: Talk, count: number): void {
  const { own, batch } = talk
  const keys: Key[] = []
  let bytes = 0
  while (keys.length < count) {
    const key = own.any()
    bytes += key.bytes
    if (bytes > 2 * MOST_VALUE_BYTES) break
    keys.push(key)
  }
  // Lines above 2048 bytes are shared as well, up to the proxy's own limit.
  while (keys.length > 1 && keys.reduce((sum, key) => sum + key.name.length + 1, 8) > 8000) keys.pop()
  const hasCas = own.random.chance(0.3)
  const line = `${hasCas ? 'gets' : 'get'} ${keys.map(key => key.name).join(' ')}\r\n`
  batch.ask(`get of ${keys.length} keys`, [line], [...keys.flatMap(key => valueReply(key, hasCas)), 'END\r\n'])
}

function store(talk: Talk): void {
  const { own, batch } = talk
  const key = own.any()
  const verb = own.random.pick(['set', 'set', 'set', 'set', 'add', 'replace', 'append', 'prepend'])
  const isExtending = verb === 'append' || verb === 'prepend'
  const piece = own.piece(isExtending ? Math.max(0, MOST_VALUE_BYTES - key.bytes) : MOST_VALUE_BYTES)
  const flags = own.random.pick(someFlags)
  const isSilent = own.random.chance(0.25)
  const line = `${verb} ${key.name} ${flags} 0 ${piece.bytes}${isSilent ? ' noreply' : ''}\r\n`
  const isStored = verb === 'set' || (verb === 'add') !== key.exists
  if (isStored) {
    if (verb === 'append') key.append(piece)
    else if (verb === 'prepend') key.prepend(piece)
    else key.set(piece, flags)
  }
  batch.ask(line.trimEnd(), [line, key.bytesOf(piece), '\r\n'], isSilent ? [] : [isStored ? 'STORED\r\n' : 'NOT_STORED\r\n'])
}

function compareAndStore(talk: Talk): void {
  const { own, batch } = talk
  const key = own.any()
  if (key.casChanges < 0) return get(talk)
  const piece = own.piece()
  const isSilent = own.random.chance(0.25)
  const line = `cas ${key.name} 5 0 ${piece.bytes} ${key.cas}${isSilent ? ' noreply' : ''}\r\n`
  const reply = !key.exists ? 'NOT_FOUND' : key.hasCurrentCas ? 'STORED' : 'EXISTS'
  if (reply === 'STORED') key.set(piece, 5)
  batch.ask(line.trimEnd(), [line, key.bytesOf(piece), '\r\n'], isSilent ? [] : [`${reply}\r\n`])
}

function remove(talk: Talk): void {
  const key = talk.own.any()
  const isSilent = talk.own.random.chance(0.25)
  const reply = key.exists ? 'DELETED' : 'NOT_FOUND'
  if (key.exists) key.delete()
  talk.batch.ask(`delete ${key.name}`, [`delete ${key.name}${isSilent ? ' noreply' : ''}\r\n`], isSilent ? [] : [`${reply}\r\n`])
}

function touch(talk: Talk): void {
  const key = talk.own.any()
  const isSilent = talk.own.random.chance(0.25)
  const reply = key.exists ? 'TOUCHED' : 'NOT_FOUND'
  talk.batch.ask(`touch ${key.name}`, [`touch ${key.name} 0${isSilent ? ' noreply' : ''}\r\n`], isSilent ? [] : [`${reply}\r\n`])
}

function count(talk: Talk): void {
  const { own, batch } = talk
  const counter = own.random.pick(own.counters)
  if (counter.value === undefined) {
    counter.value = BigInt(own.random.between(0, 1000))
    if (own.random.chance(0.2)) counter.value = NEARLY_TOO_LARGE
    const text = String(counter.value)
    batch.ask(`set ${counter.name}`, [`set ${counter.name} 0 0 ${text.length}\r\n${text}\r\n`], ['STORED\r\n'])
    return
  }
  const delta = BigInt(own.random.between(0, 50))
  const isUp = own.random.chance(0.6)
  counter.value = isUp ? counter.value + delta : counter.value > delta ? counter.value - delta : 0n
  const isSilent = own.random.chance(0.25)
  const line = `${isUp ? 'incr' : 'decr'} ${counter.name} ${delta}${isSilent ? ' noreply' : ''}\r\n`
  batch.ask(line.trimEnd(), [line], isSilent ? [] : [`${counter.value}\r\n`])
}

function countTogether({ own, shared, batch }: Talk): void {
  if (shared === undefined) return
  const delta = BigInt(own.random.between(1, 9))
  const check = shared.add(delta)
  const isSilent = own.random.chance(0.3)
  batch.ask('incr of the shared counter', [`incr ${shared.key} ${delta}${isSilent ? ' noreply' : ''}\r\n`],
    isSilent ? [] : [{ digits: text => check(BigInt(text)) }, '\r\n'])
}
