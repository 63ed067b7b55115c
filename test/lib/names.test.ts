import { expect, test } from 'vitest'
import { answering, bestFirst, LookupError, lookUpForSocket, Names, type Sources } from '../../src/lib/names.ts'

type Answer = string[] | string | Promise<string[]>   // addresses, or a code

interface World { hosts?: Record<string, string[]>, dns?: Record<string, Answer | { 4?: Answer, 6?: Answer }>, system?: Record<string, Answer>, search?: string[], ndots?: number }

/** A host of the test's own. `asked` is all that was asked of DNS (IPv4) and of the system. */
function host({ hosts = {}, dns = {}, system = {}, search = [], ndots = 1 }: World) {
  const asked: string[] = []
  const say = async (answer: Answer | undefined): Promise<string[]> => {
    if (typeof answer === 'string' || answer === undefined) throw Object.assign(new Error(), { code: answer ?? 'ENOTFOUND' })
    return answer
  }
  const sources: Sources = {
    inHostsFile: name => hosts[name] ?? [],
    resolvConf: () => ({ search, ndots }),
    byDns: (name, family) => {
      if (family === 4) asked.push(name)
      const answer = dns[name]
      if (answer !== undefined && typeof answer === 'object' && !Array.isArray(answer) && !(answer instanceof Promise)) return say(answer[family] ?? 'ENODATA')
      return say(family === 4 || typeof answer === 'string' ? answer as Answer : answer === undefined ? undefined : 'ENODATA')
    },
    bySystem: name => {
      asked.push(`system ${name}`)
      return say(system[name])
    },
    cancel: () => asked.push('cancel'),
  }
  return { names: new Names(sources), asked }
}

const never = new Promise<string[]>(() => {})
const fault = async (found: Promise<unknown>) => await found.then(() => 'found', (error: Error) => error instanceof LookupError ? `${error.code}: ${error.message}` : String(error))

test('localhost is this host, in any spelling, and nobody is asked', async () => {
  const { names, asked } = host({ hosts: { localhost: ['192.0.2.1'] }, dns: { localhost: ['192.0.2.1'] } })
  for (const name of ['localhost', 'LOCALHOST.', 'cache.localhost']) expect(await names.lookUp(name)).toEqual(['127.0.0.1', '::1'])
  expect(asked).toEqual([])
})

test('the hosts file comes before DNS', async () => {
  const { names, asked } = host({ hosts: { cache: ['10.0.0.1', '10.0.0.2'] }, dns: { cache: ['192.0.2.1'] } })
  expect(await names.lookUp('cache')).toEqual(['10.0.0.1', '10.0.0.2'])
  expect(asked).toEqual([])
})

test('search domains come in their order, before or after the name itself as ndots has it', async () => {
  const world = { search: ['ns.svc.cluster.local', 'svc.cluster.local'], dns: { 'cache.ns.svc.cluster.local': ['10.0.0.1'], 'a.b': ['10.0.0.2'], 'a.b.svc.cluster.local': ['10.0.0.3'], 'whole': ['10.0.0.4'] } }
  const pod = host({ ...world, ndots: 5 })
  expect(await pod.names.lookUp('cache')).toEqual(['10.0.0.1'])
  expect(await pod.names.lookUp('a.b')).toEqual(['10.0.0.3'])
  expect(pod.asked).toEqual(['cache.ns.svc.cluster.local', 'a.b.ns.svc.cluster.local', 'a.b.svc.cluster.local'])
  const plain = host({ ...world, ndots: 1 })
  expect(await plain.names.lookUp('a.b')).toEqual(['10.0.0.2'])
  expect(await plain.names.lookUp('whole')).toEqual(['10.0.0.4'])
  expect(await plain.names.lookUp('a.b.')).toEqual(['10.0.0.2'])
  expect(plain.asked).toEqual(['a.b', 'whole.ns.svc.cluster.local', 'whole.svc.cluster.local', 'whole', 'a.b'])
})

test('a domain whose server is lost hides neither the next domain nor the name itself', async () => {
  for (const [code, found] of [['ESERVFAIL', '10.0.0.1'], ['ETIMEOUT', '10.0.0.2']] as const) {
    const { names } = host({ search: ['lost', 'well'], ndots: 2, dns: { 'c.lost': code, 'c.well': ['10.0.0.1'], 'c': ['10.0.0.2'] } })
    expect(await names.lookUp('c')).toEqual([found])
  }
  const { names } = host({ search: ['lost', 'well'], dns: { 'c.lost': 'ESERVFAIL' } })
  expect(await fault(names.lookUp('c'))).toBe('ESERVFAIL: the name server does not get an answer itself (ESERVFAIL)')
})

test('a silent name holds up no other, and is asked once at a time', async () => {
  const { names, asked } = host({ dns: { dead: never, dead2: never, dead3: never, live: ['10.0.0.1'] } })
  for (const name of ['dead', 'dead2', 'dead3', 'dead']) void names.lookUp(name)
  expect(await names.lookUp('live')).toEqual(['10.0.0.1'])
  expect(asked).toEqual(['dead', 'dead2', 'dead3', 'live'])
  expect(names.lookUp('dead')).toBe(names.lookUp('dead'))
  names.cancel()
  expect(asked.at(-1)).toBe('cancel')
})

test('both families count; a server that is silent for one of them does not keep the other back', async () => {
  const { names } = host({ dns: { both: { 4: ['10.0.0.1'], 6: ['fd00::1'] }, four: { 4: ['10.0.0.1'] }, six: { 6: ['fd00::1'] }, half: { 4: never, 6: ['fd00::1'] }, odd: { 4: ['10.0.0.1'], 6: 'ESERVFAIL' } } })
  expect(await Promise.all(['both', 'four', 'six', 'half', 'odd'].map(names.lookUp))).toEqual([['10.0.0.1', 'fd00::1'], ['10.0.0.1'], ['fd00::1'], ['fd00::1'], ['10.0.0.1']])
})

test('what DNS denies is asked of the system; what it is silent of is not', async () => {
  const { names, asked } = host({ dns: { mute: 'ETIMEOUT', lost: 'ESERVFAIL', empty: 'ENODATA' }, system: { printer: ['10.0.0.9'], mute: ['10.0.0.9'], lost: ['10.0.0.9'], empty: ['10.0.0.8'] } })
  expect(await names.lookUp('printer')).toEqual(['10.0.0.9'])
  expect(await names.lookUp('empty')).toEqual(['10.0.0.8'])
  expect(await fault(names.lookUp('nobody'))).toBe('ENOTFOUND: there is no such name (ENOTFOUND)')
  expect(await fault(names.lookUp('mute'))).toBe('ETIMEOUT: the name server is silent (ETIMEOUT)')
  expect(await fault(names.lookUp('lost'))).toContain('ESERVFAIL')
  expect(asked.filter(each => each.startsWith('system'))).toEqual(['system printer', 'system empty', 'system nobody'])
})

test('names that the system did not know share one thread, and leave the others to the rest', async () => {
  const hung = Promise.withResolvers<string[]>()
  const system: Record<string, Answer> = {}
  const { names, asked } = host({ system })
  for (const name of ['a', 'b', 'c']) await fault(names.lookUp(name))
  system['a'] = hung.promise
  system['d'] = ['10.0.0.4']
  const again = ['a', 'b', 'c'].map(name => fault(names.lookUp(name)))
  expect(await names.lookUp('d')).toEqual(['10.0.0.4'])
  expect(asked.filter(each => each.startsWith('system')).slice(3).sort()).toEqual(['system a', 'system d'])
  hung.resolve(['10.0.0.1'])
  expect(await Promise.all(again)).toEqual(['found', expect.stringContaining('ENOTFOUND'), expect.stringContaining('ENOTFOUND')])
})

test('addresses are tried in an order that suits this host', () => {
  const addresses = ['fd00::1', '10.0.0.2', '2001:db8::1', '10.0.0.1']
  expect(bestFirst(addresses, ['10.0.0.9', 'fe80::1', '::1', 'fd00::9'])).toEqual(['10.0.0.2', '10.0.0.1', 'fd00::1', '2001:db8::1'])
  expect(bestFirst(addresses, ['2a01::9'])).toEqual(['2001:db8::1', '10.0.0.2', '10.0.0.1', 'fd00::1'])
})

test('a socket gets all addresses or the first, as it asks, and the reason when there is none', async () => {
  const asked = (lookup: typeof lookUpForSocket, name: string, all: boolean) =>
    new Promise(resolve => { lookup(name, { all }, (error, found, family) => resolve(error ?? (all ? found : [found, family]))) })
  expect(await asked(lookUpForSocket, 'localhost', false)).toEqual(['127.0.0.1', 4])
  expect(await asked(answering(['10.0.0.1', 'fd00::1']), 'x', true)).toEqual([{ address: '10.0.0.1', family: 4 }, { address: 'fd00::1', family: 6 }])
})
