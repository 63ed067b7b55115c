/** The binary protocol: one request at random, loud or quiet, with the packet it must bring. */
import type { Part } from './expected.ts'
import { MOST_VALUE_BYTES, type Key } from './own-keys.ts'
import type { Talk } from './conversation.ts'
import { someFlags } from './text-talk.ts'

const notFound = [1, 'Not found'] as const
const exists = [2, 'Data exists for key.'] as const
const notStored = [5, 'Not stored.'] as const
const MAX_UINT64 = 2n ** 64n
const NO_CAS = 0n

export function binaryRequest(talk: Talk): void {
  const roll = talk.own.random.next()
  if (roll < 0.42) get(talk)
  else if (roll < 0.68) store(talk)
  else if (roll < 0.76) remove(talk)
  else if (roll < 0.86) count(talk)
  else if (roll < 0.9) countTogether(talk)
  else if (roll < 0.94) touch(talk)
  else if (roll < 0.96) plain(talk, 0x0b, talk.version)
  else plain(talk, 0x0a, '')
}

function packet(opcode: number, opaque: number, extras: Buffer, key: string, value: Buffer, cas = NO_CAS): Buffer[] {
  const head = Buffer.alloc(24)
  head[0] = 0x80
  head[1] = opcode
  head.writeUInt16BE(key.length, 2)
  head[4] = extras.length
  head.writeUInt32BE(extras.length + key.length + value.length, 8)
  head.writeUInt32BE(opaque, 12)
  head.writeBigUInt64BE(cas, 16)
  return [head, extras, Buffer.from(key, 'latin1'), value]
}

/** @param take is given the cas that came */
function answer(opcode: number, opaque: number, status: number, extras: Buffer, key: string, value: Buffer, take?: (cas: Buffer) => void): Part[] {
  const head = Buffer.alloc(16)
  head[0] = 0x81
  head[1] = opcode
  head.writeUInt16BE(key.length, 2)
  head[4] = extras.length
  head.writeUInt16BE(status, 6)
  head.writeUInt32BE(extras.length + key.length + value.length, 8)
  head.writeUInt32BE(opaque, 12)
  const parts: Part[] = [head, { bytes: 8, take }]
  const body = Buffer.concat([extras, Buffer.from(key, 'latin1'), value])
  if (body.length > 0) parts.push(body)
  return parts
}

const none = Buffer.alloc(0)
const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const uint64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

/** Many clients use the same few numbers. */
const opaqueOf = ({ own }: Talk): number => own.random.pick([0, 0xffffffff, own.random.between(0, 0xffffffff)])

const no = (opcode: number, opaque: number, [status, words]: readonly [number, string]): Part[] =>
  answer(opcode, opaque, status, none, '', Buffer.from(words))

const noteCas = (key: Key): ((cas: Buffer) => void) => {
  const note = key.noteCas()
  return cas => note(String(cas.readBigUInt64BE()))
}

function plain({ own, batch }: Talk, opcode: number, words: string): void {
  const opaque = own.random.between(0, 0xffffffff)
  batch.ask(`opcode ${opcode}`, packet(opcode, opaque, none, '', none), answer(opcode, opaque, 0, none, '', Buffer.from(words)))
}

function get(talk: Talk): void {
  const { own, batch } = talk
  const key = own.any()
  const opaque = opaqueOf(talk)
  const opcode = own.random.pick([0x00, 0x09, 0x09, 0x0c, 0x0d, 0x0d, 0x1d, 0x1e])
  const isQuiet = opcode === 0x09 || opcode === 0x0d || opcode === 0x1e
  const echo = opcode === 0x0c || opcode === 0x0d ? key.name : ''
  const extras = opcode >= 0x1d ? uint32(0) : none
  let reply: Part[]
  if (key.exists) reply = answer(opcode, opaque, 0, uint32(key.flags), echo, key.value, noteCas(key))
  else if (isQuiet) reply = []
  else reply = echo === '' ? no(opcode, opaque, notFound) : answer(opcode, opaque, 1, none, echo, none)
  batch.ask(`opcode ${opcode} ${key.name}`, packet(opcode, opaque, extras, key.name, none), reply)
}

function touch(talk: Talk): void {
  const key = talk.own.any()
  const opaque = opaqueOf(talk)
  talk.batch.ask(`touch ${key.name}`, packet(0x1c, opaque, uint32(0), key.name, none),
    key.exists ? answer(0x1c, opaque, 0, uint32(key.flags), '', none) : no(0x1c, opaque, notFound))
}

type Verb = 'set' | 'add' | 'replace' | 'append' | 'prepend'
const opcodeOf: Record<Verb, [loud: number, quiet: number]> = {
  set: [0x01, 0x11], add: [0x02, 0x12], replace: [0x03, 0x13], append: [0x0e, 0x19], prepend: [0x0f, 0x1a],
}

function store(talk: Talk): void {
  const { own, batch } = talk
  const key = own.any()
  const verb = own.random.pick<Verb>(['set', 'set', 'set', 'add', 'replace', 'append', 'prepend'])
  const isExtending = verb === 'append' || verb === 'prepend'
  const piece = own.piece(isExtending ? Math.max(0, MOST_VALUE_BYTES - key.bytes) : MOST_VALUE_BYTES)
  const flags = own.random.pick(someFlags)
  const isQuiet = own.random.chance(0.5)
  const opcode = opcodeOf[verb][isQuiet ? 1 : 0]
  const opaque = opaqueOf(talk)
  const isComparing = verb === 'set' && key.casChanges >= 0 && own.random.chance(0.3)
  const cas = isComparing ? BigInt(key.cas) : NO_CAS
  const fault = faultOf(verb, key, isComparing)
  if (fault === undefined) {
    if (verb === 'append') key.append(piece)
    else if (verb === 'prepend') key.prepend(piece)
    else key.set(piece, flags)
  }
  const extras = isExtending ? none : Buffer.concat([uint32(flags), uint32(0)])
  const reply = fault !== undefined ? no(opcode, opaque, fault) : isQuiet ? [] : answer(opcode, opaque, 0, none, '', none, noteCas(key))
  batch.ask(`${verb} ${key.name}`, packet(opcode, opaque, extras, key.name, key.bytesOf(piece), cas), reply)
}

function faultOf(verb: Verb, key: Key, isComparing: boolean): readonly [number, string] | undefined {
  if (isComparing) return !key.exists ? notFound : key.hasCurrentCas ? undefined : exists
  if (verb === 'add') return key.exists ? exists : undefined
  if (verb === 'replace') return key.exists ? undefined : notFound
  return verb === 'set' || key.exists ? undefined : notStored
}

function remove(talk: Talk): void {
  const key = talk.own.any()
  const isQuiet = talk.own.random.chance(0.5)
  const opcode = isQuiet ? 0x14 : 0x04
  const opaque = opaqueOf(talk)
  const reply = !key.exists ? no(opcode, opaque, notFound) : isQuiet ? [] : answer(opcode, opaque, 0, none, '', none)
  if (key.exists) key.delete()
  talk.batch.ask(`delete ${key.name}`, packet(opcode, opaque, none, key.name, none), reply)
}

function count(talk: Talk): void {
  const counter = talk.own.random.pick(talk.own.counters)
  const isQuiet = talk.own.random.chance(0.5)
  const isUp = talk.own.random.chance(0.6)
  const opcode = isUp ? (isQuiet ? 0x15 : 0x05) : isQuiet ? 0x16 : 0x06
  const opaque = opaqueOf(talk)
  const delta = BigInt(talk.own.random.between(0, 50))
  const first = BigInt(talk.own.random.between(0, 1000))
  if (counter.value === undefined) counter.value = first
  else counter.value = isUp ? (counter.value + delta) % MAX_UINT64 : counter.value > delta ? counter.value - delta : 0n
  talk.batch.ask(`count ${counter.name}`, packet(opcode, opaque, Buffer.concat([uint64(delta), uint64(first), uint32(0)]), counter.name, none),
    isQuiet ? [] : answer(opcode, opaque, 0, none, '', uint64(counter.value)))
}

function countTogether(talk: Talk): void {
  const { own, shared, batch } = talk
  if (shared === undefined) return
  const delta = BigInt(own.random.between(1, 9))
  const check = shared.add(delta)
  const isQuiet = own.random.chance(0.4)
  const opcode = isQuiet ? 0x15 : 0x05
  const opaque = opaqueOf(talk)
  const head = answer(opcode, opaque, 0, none, '', uint64(0n))
  head.pop()
  batch.ask('the shared counter', packet(opcode, opaque, Buffer.concat([uint64(delta), uint64(0n), uint32(0xffffffff)]), shared.key, none),
    isQuiet ? [] : [...head, { bytes: 8, take: value => check(value.readBigUInt64BE()) }])
}
