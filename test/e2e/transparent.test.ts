// With `commands: [all]` memseal is transparent: the same conversation gives the same bytes and the same close through
// it as with memcached itself, whole and one byte at a time, while others go about their business on the same lanes.
//
// Phases: every conversation with memcached itself, in both cuts; then through memseal, each way with a memcached of its
// own that has seen just the same; those that change what others see come last and one by one.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startDaemon, type Daemon } from '../support/daemon.ts'
import { isAtLeast, startMemcached, type Memcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { Rounds } from '../support/rounds.ts'
import { as, type WireOptions } from '../support/wire.ts'
import { converse, shown, type Conversation, type Cut, type Expected } from './support/conversation.ts'
import { Neighbours } from './support/neighbours.ts'
import { corpus } from './transparent-corpus.ts'
import { meantDifferences, type MeantDifference } from './transparent-differences.ts'

const AT_ONCE = 30
const ways = ['shared, whole', 'shared, bytes', 'tls, whole', 'private, whole'] as const
interface Told { shown: string; answered: number[] }
const memcacheds: Memcached[] = []
const direct = new Map<Cut, Map<string, Told>>()
let daemon: Daemon

beforeAll(async () => {
  const { ca, server } = await pki()
  const start = async () => {
    const memcached = await startMemcached({ args: ['-t', '1', '-c', '2000'] })
    memcacheds.push(memcached)
    return memcached
  }
  const services: Record<string, unknown> = {}
  for (const way of ways) {
    services[serviceOf(way)] = {
      listen: '127.0.0.1:0',
      ...way.startsWith('tls') ? { tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile } } : {},
      backend: { connect: (await start()).address, sharing: way.startsWith('private') ? 'private' : 'shared' },
      commands: ['all'],
    }
  }
  daemon = await startDaemon({ services })
  await Promise.all((['whole', 'bytes'] as const).map(async cut => {
    const { port } = await start()
    direct.set(cut, await converseAll({ port }, cut))
  }))
}, 900_000)

afterAll(async () => {
  await daemon?.stop()
  for (const memcached of memcacheds) await memcached.stop()
})

test.concurrent.each(ways)('memseal, %s: the bytes and the close are those of memcached, and neighbours notice nothing', async way => {
  const { ca, client } = await pki()
  const place = { port: daemon.port(serviceOf(way)), tls: way.startsWith('tls') ? as(client, ca) : undefined }
  const wanted = new Map(corpus.map(conversation => [conversation.name, expected(conversation, way)]))

  const neighbours = new Neighbours(place)
  neighbours.start()
  const replies = await converseAll(place, cutOf(way), wanted, () => neighbours.allowMisses())
  await neighbours.stop()

  const different = corpus.map(({ name }) => name).filter(name => !isAnything(name, way) && replies.get(name)?.shown !== wanted.get(name)?.shown)
  const show = (from: Map<string, Expected>) => Object.fromEntries(different.map(name => [name, from.get(name)?.shown]))
  expect(show(replies)).toEqual(show(wanted))
}, 900_000)

test('the table of meant differences names conversations that exist', () => {
  const names = corpus.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  expect(names).toEqual(expect.arrayContaining(meantDifferences.flatMap(({ conversations }) => conversations)))
})

function differenceOf(name: string, way: string): MeantDifference | undefined {
  // The later ones are of newer releases, and hold there.
  return meantDifferences.findLast(({ conversations, when, since }) => conversations.includes(name) && way.includes(when ?? '') && isAtLeast(since))
}

function isAnything(name: string, way: string): boolean {
  const instead = differenceOf(name, way)?.instead
  return instead !== undefined && 'as' in instead && instead.as === 'anything'
}

function expected({ name }: Conversation, way: string): Expected {
  const difference = differenceOf(name, way)
  const as = difference !== undefined && 'as' in difference.instead ? difference.instead.as : cutOf(way)
  const cut = as === 'anything' ? cutOf(way) : as
  const told = direct.get(cut)?.get(name)
  return {
    shown: difference !== undefined && 'reply' in difference.instead ? difference.instead.reply : told?.shown,
    answered: told?.answered ?? [],
  }
}

async function converseAll(
  place: WireOptions, cut: Cut, wanted?: Map<string, Expected>, beforeLast: () => void = () => {},
): Promise<Map<string, Told>> {
  const replies = new Map<string, Told>()
  const rounds = await Rounds.of(place)
  const one = async (conversation: Conversation) => {
    const k = `c${String(corpus.indexOf(conversation)).padStart(4, '0')}`
    const reply = await converse(place, rounds, conversation, k, cut, wanted?.get(conversation.name))
    replies.set(conversation.name, { shown: shown(reply, conversation, k), answered: reply.answered })
  }
  const inTurn = async (queue: Conversation[]) => { for (let c = queue.shift(); c; c = queue.shift()) await one(c) }
  const ofOrder = (order: Conversation['order']) => corpus.filter(conversation => conversation.order === order)
  const crowd = ofOrder(undefined)
  await Promise.all([inTurn(ofOrder('in turn')), ...Array.from({ length: AT_ONCE }, () => inTurn(crowd))])
  beforeLast()
  await inTurn(ofOrder('last'))
  rounds.end()
  return replies
}

function serviceOf(way: string): string {
  return way.replace(', ', '-')
}

function cutOf(way: string): Cut {
  return way.endsWith('whole') ? 'whole' : 'bytes'
}
