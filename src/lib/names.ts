import { promises as dns } from 'node:dns'
import { isIP, isIPv4, type LookupFunction } from 'node:net'
import { networkInterfaces } from 'node:os'
import { addressesInHostsFile, isLocalhost } from './hosts-file.ts'
import { KeptFile } from './kept-file.ts'
import { candidates, parseResolvConf, type ResolvConf } from './resolv-conf.ts'

// The addresses of a name, in the order in which every program of this host looks for them:
//
//   localhost ── /etc/hosts ── DNS: the servers, search domains and ndots of /etc/resolv.conf ── getaddrinfo, of what DNS denies
//
// getaddrinfo alone would do all of it, but two threads are all that Node has for it, and a name whose server is silent holds one
// for 10 to 40 s: two such names, and no other is looked up. DNS is asked without threads, each name by itself. What is left to
// getaddrinfo are names of other sources (mDNS, LDAP), when DNS has said at once that it does not know them.

/** All addresses of a name, best first. @throws LookupError */
export type Lookup = (name: string) => Promise<string[]>

export class LookupError extends Error {
  readonly code: string
  /** @param message what is wrong, without the name */
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** Where names are looked for; a test puts others in their place. */
export interface Sources {
  inHostsFile(name: string): readonly string[]
  resolvConf(): Pick<ResolvConf, 'search' | 'ndots'>
  /** By DNS, of one family: 4 or 6. Rejects with a code of c-ares. */
  byDns(name: string, family: 4 | 6): Promise<string[]>
  /** By getaddrinfo. */
  bySystem(name: string): Promise<string[]>
  cancel(): void
}

/** Some servers never answer for one of the families. The other's answer does not wait longer than this. */
const GRACE_MS = 250

export class Names {
  readonly #sources: Sources
  /** A name is asked for once at a time, whoever wants to know. */
  readonly #running = new Map<string, Promise<string[]>>()
  /** Names that getaddrinfo did not know. Each may hold its thread for long, so there is one for all of these. */
  readonly #unknown = new Set<string>()
  #lastOfUnknown: Promise<unknown> = Promise.resolve()

  constructor(sources: Sources = ofThisHost()) {
    this.#sources = sources
  }

  /** @throws LookupError; a server that is silent is given up after some seconds */
  readonly lookUp: Lookup = name => {
    let running = this.#running.get(name)
    if (running === undefined) {
      running = this.#find(name).finally(() => this.#running.delete(name))
      this.#running.set(name, running)
    }
    return running
  }

  /** Gives up what is not answered yet: it would keep the process alive. */
  cancel(): void {
    this.#sources.cancel()
  }

  async #find(name: string): Promise<string[]> {
    if (isLocalhost(name)) return ownAddresses().includes('::1') ? ['127.0.0.1', '::1'] : ['127.0.0.1']
    const known = this.#sources.inHostsFile(name)
    if (known.length > 0) return [...known]
    try {
      return await this.#askDns(name)
    } catch (error) {
      const { code } = error as LookupError
      // Of a name whose server is silent or lost getaddrinfo would wait for the same server.
      if (!isDenied(code)) throw error
      return await this.#askSystem(name).catch(() => { throw error })
    }
  }

  async #askDns(name: string): Promise<string[]> {
    let failed: LookupError | undefined
    for (const candidate of candidates(name, this.#sources.resolvConf())) {
      // As glibc does: after silence no domain is tried any more, but the name as it is.
      if (failed?.code === 'ETIMEOUT' && candidate !== name) continue
      try {
        return bestFirst(await this.#askBoth(candidate))
      } catch (error) {
        // That a domain does not know the name says less than that its server is lost.
        if (failed === undefined || isDenied(failed.code)) failed = error as LookupError
        if (failed.code === 'ECANCELLED') break
      }
    }
    throw failed!
  }

  /** Both families at once. */
  async #askBoth(name: string): Promise<string[]> {
    const found: string[][] = [[], []]
    const codes: string[] = []
    const grace = Promise.withResolvers<void>()
    let timer: NodeJS.Timeout | undefined
    const asked = ([4, 6] as const).map(async (family, at) => {
      try {
        found[at] = await this.#sources.byDns(name, family)
        timer ??= setTimeout(grace.resolve, GRACE_MS)
      } catch (error) {
        codes.push(String((error as NodeJS.ErrnoException).code))
      }
    })
    await Promise.race([Promise.all(asked), grace.promise])
    clearTimeout(timer)
    const addresses = found.flat()
    if (addresses.length > 0) return addresses
    // That a name has no address of one family says nothing of the other.
    const code = codes.find(each => !isDenied(each)) ?? codes.find(each => each !== 'ENODATA') ?? 'ENODATA'
    throw new LookupError(code, wordsOf(code))
  }

  async #askSystem(name: string): Promise<string[]> {
    const ask = (): Promise<string[]> => this.#sources.bySystem(name)
    const found = this.#unknown.has(name) ? this.#lastOfUnknown.then(ask, ask) : ask()
    if (this.#unknown.has(name)) this.#lastOfUnknown = found
    this.#unknown.add(name)
    const addresses = await found
    this.#unknown.delete(name)
    return addresses
  }
}

/** For the `lookup` of a socket that is to try these. @param addresses one at least */
export function answering(addresses: readonly string[]): LookupFunction {
  const found = addresses.map(address => ({ address, family: isIP(address) }))
  return (_, { all }, done) => all ? done(null, found) : done(null, found[0].address, found[0].family)
}

/** DNS has said, at once, that it does not know it. */
function isDenied(code: string): boolean {
  return code === 'ENOTFOUND' || code === 'ENODATA' || code === 'ECONNREFUSED' || code === 'EREFUSED'
}

function wordsOf(code: string): string {
  switch (code) {
    case 'ENOTFOUND': return 'there is no such name (ENOTFOUND)'
    case 'ENODATA': return 'it has no address (ENODATA)'
    case 'ETIMEOUT': return 'the name server is silent (ETIMEOUT)'
    case 'ESERVFAIL': return 'the name server does not get an answer itself (ESERVFAIL)'
    case 'ECONNREFUSED': return 'no name server takes questions (ECONNREFUSED)'
    case 'EREFUSED': return 'the name server refuses to answer (EREFUSED)'
    default: return code
  }
}

/** As RFC 6724 has it, in short: IPv6 first where this host has an address of that kind itself, private IPv6 last; else the order
 *  of the answer, which many name servers turn round to spread load. */
export function bestFirst(addresses: readonly string[], own: readonly string[] = ownAddresses()): string[] {
  const hasGlobal = own.some(isGlobalIPv6)
  const rank = (address: string): number => isIPv4(address) ? 1 : isGlobalIPv6(address) && hasGlobal ? 0 : 2
  return addresses.toSorted((a, b) => rank(a) - rank(b))
}

function isGlobalIPv6(address: string): boolean {
  return /^[23][0-9a-f]{3}:/i.test(address)
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap(addresses => (addresses ?? []).map(({ address }) => address))
}

let own = { addresses: new Set<string>(), readAt: -Infinity }

/** Whether it is one of this host's, as of a second ago: strangers bring about the question.
 *  @param address in the short form of the system, without a zone */
export function isOwnAddress(address: string): boolean {
  const now = performance.now()
  if (now - own.readAt >= 1_000) own = { addresses: new Set(ownAddresses()), readAt: now }
  return own.addresses.has(address)
}

function ofThisHost(): Sources {
  // A resolver reads the servers when it is made.
  const file = new KeptFile('/etc/resolv.conf', text => {
    const conf = parseResolvConf(text)
    return { conf, resolver: new dns.Resolver({ timeout: conf.timeoutMs, maxTimeout: conf.timeoutMs, tries: conf.attempts }) }
  })
  return {
    inHostsFile: addressesInHostsFile,
    resolvConf: () => file.value.conf,
    byDns: (name, family) => family === 4 ? file.value.resolver.resolve4(name) : file.value.resolver.resolve6(name),
    bySystem: async name => (await dns.lookup(name, { all: true, order: 'verbatim' })).map(({ address }) => address),
    cancel: () => file.value.resolver.cancel(),
  }
}

/** Those of this process. */
export const names = new Names()

/** For a socket that is to look the name up by itself: without a thread, and `localhost` without asking anybody. */
export const lookUpForSocket: LookupFunction = (name, options, done) => {
  void names.lookUp(name).then(found => answering(found)(name, options, done), (error: LookupError) => done(error, ''))
}
