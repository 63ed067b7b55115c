/** The meta protocol: one request at random, loud or quiet, with the reply it must bring. */
import type { Part } from './expected.ts'
import { MOST_VALUE_BYTES, type Key } from './own-keys.ts'
import type { Talk } from './conversation.ts'
import { someFlags } from './text-talk.ts'

export function metaRequest(talk: Talk): void {
  const roll = talk.own.random.next()
  if (roll < 0.4) get(talk)
  else if (roll < 0.68) set(talk)
  else if (roll < 0.76) remove(talk)
  else if (roll < 0.86) count(talk)
  else if (roll < 0.9) countTogether(talk)
  else if (roll < 0.93) compareAndStore(talk)
  else talk.batch.ask('mn', ['mn\r\n'], ['MN\r\n'])
}

/** Every fourth key is addressed by its base64 form, where the reply does not repeat it. */
function address(key: Key, keyIndex: number): { token: string, flag: string } {
  if (keyIndex % 4 !== 0 || key.name.length > 180) return { token: key.name, flag: '' }
  return { token: Buffer.from(key.name, 'latin1').toString('base64'), flag: ' b' }
}

const pickKey = ({ own }: Talk): { key: Key, token: string, flag: string } => {
  const index = own.random.between(0, own.keys.length - 1)
  const key = own.keys[index]
  return { key, ...address(key, index) }
}

const opaqueOf = (talk: Talk): string => (talk.own.random.chance(0.4) ? ` O${talk.own.random.between(0, 1e9)}` : '')

function get(talk: Talk): void {
  const { key, token, flag } = pickKey(talk)
  const random = talk.own.random
  const isQuiet = random.chance(0.5)
  const wantsValue = random.chance(0.8)
  const opaque = key.exists ? opaqueOf(talk) : ''
  const wantsCas = key.exists && random.chance(0.3)
  const more = key.exists && random.chance(0.3)
  const line = `mg ${token}${wantsValue ? ' v' : ''}${more ? ' s f t' : ''}${opaque}${wantsCas ? ' c' : ''}${flag}${isQuiet ? ' q' : ''}\r\n`
  if (!key.exists) return talk.batch.ask(line.trimEnd(), [line], isQuiet ? [] : ['EN\r\n'])
  const parts: (string | Part)[] = [wantsValue ? `VA ${key.bytes}` : 'HD', more ? ` s${key.bytes} f${key.flags} t-1` : '', opaque]
  if (wantsCas) parts.push(' c', { digits: key.noteCas() })
  parts.push('\r\n')
  if (wantsValue) parts.push(key.value, '\r\n')
  talk.batch.ask(line.trimEnd(), [line], parts)
}

function set(talk: Talk): void {
  const { key, token, flag } = pickKey(talk)
  const { random } = talk.own
  const mode = random.pick(['', '', '', ' MS', ' ME', ' MR', ' MA', ' MP'])
  const isExtending = mode === ' MA' || mode === ' MP'
  const piece = talk.own.piece(isExtending ? Math.max(0, MOST_VALUE_BYTES - key.bytes) : MOST_VALUE_BYTES)
  const flags = random.pick(someFlags)
  const isQuiet = random.chance(0.5)
  const opaque = opaqueOf(talk)
  const isStored = mode === '' || mode === ' MS' || (mode === ' ME') !== key.exists
  if (isStored) {
    if (mode === ' MA') key.append(piece)
    else if (mode === ' MP') key.prepend(piece)
    else key.set(piece, flags)
  }
  const line = `ms ${token} ${piece.bytes} F${flags}${mode}${opaque}${flag}${isQuiet ? ' q' : ''}\r\n`
  talk.batch.ask(line.trimEnd(), [line, key.bytesOf(piece), '\r\n'], isStored ? (isQuiet ? [] : [`HD${opaque}\r\n`]) : [`NS${opaque}\r\n`])
}

function compareAndStore(talk: Talk): void {
  const { key, token, flag } = pickKey(talk)
  if (key.casChanges < 0) return get(talk)
  const piece = talk.own.piece()
  const isQuiet = talk.own.random.chance(0.5)
  const code = !key.exists ? 'NF' : key.hasCurrentCas ? 'HD' : 'EX'
  const line = `ms ${token} ${piece.bytes} C${key.cas} F5${flag}${isQuiet ? ' q' : ''}\r\n`
  if (code === 'HD') key.set(piece, 5)
  const bytes = key.bytesOf(piece)
  talk.batch.ask(line.trimEnd(), [line, bytes, '\r\n'], code === 'HD' && isQuiet ? [] : [`${code}\r\n`])
}

function remove(talk: Talk): void {
  const { key, token, flag } = pickKey(talk)
  const isQuiet = talk.own.random.chance(0.5)
  const opaque = opaqueOf(talk)
  const code = key.exists ? 'HD' : 'NF'
  if (key.exists) key.delete()
  const line = `md ${token}${opaque}${flag}${isQuiet ? ' q' : ''}\r\n`
  talk.batch.ask(line.trimEnd(), [line], code === 'HD' && isQuiet ? [] : [`${code}${opaque}\r\n`])
}

function count(talk: Talk): void {
  const counter = talk.own.random.pick(talk.own.counters)
  const isQuiet = talk.own.random.chance(0.5)
  if (counter.value === undefined) {
    const line = `ma ${counter.name}${isQuiet ? ' q' : ''}\r\n`
    talk.batch.ask(line.trimEnd(), [line], ['NF\r\n'])
    counter.value = BigInt(talk.own.random.between(0, 1000))
    const text = String(counter.value)
    talk.batch.ask(`ms ${counter.name}`, [`ms ${counter.name} ${text.length}\r\n${text}\r\n`], ['HD\r\n'])
    return
  }
  const delta = BigInt(talk.own.random.between(0, 50))
  const isUp = talk.own.random.chance(0.6)
  counter.value = isUp ? counter.value + delta : counter.value > delta ? counter.value - delta : 0n
  const line = `ma ${counter.name} v D${delta} M${isUp ? 'I' : 'D'}${isQuiet ? ' q' : ''}\r\n`
  const text = String(counter.value)
  talk.batch.ask(line.trimEnd(), [line], isQuiet ? [] : [`VA ${text.length}\r\n${text}\r\n`])
}

function countTogether({ own, shared, batch }: Talk): void {
  if (shared === undefined) return
  const delta = BigInt(own.random.between(1, 9))
  const check = shared.add(delta)
  const isQuiet = own.random.chance(0.4)
  batch.ask('ma of the shared counter', [`ma ${shared.key} v D${delta}${isQuiet ? ' q' : ''}\r\n`],
    isQuiet ? [] : ['VA ', { digits: () => {} }, '\r\n', { digits: text => check(BigInt(text)) }, '\r\n'])
}
