import { isLoopback } from '../lib/address.ts'
import { Ranges } from '../lib/ranges.ts'

/** Which addresses may come, as the configuration and the files that it names say it. */
export interface AddressLists {
  allow?: readonly string[]
  deny?: readonly string[]
  /** What `allow_file` and `deny_file` hold; it adds to `allow` and `deny`. */
  allowFile?: Ranges
  denyFile?: Ranges
  /** Load balancers, whose PROXY headers say for whom a connection is; `unix`: whoever connects to a unix socket. */
  balancers?: readonly string[]
  /** Groups of clients that have limits of their own, by name. */
  groups?: Readonly<Record<string, readonly string[]>>
}

export class AddressRules {
  readonly #allow: readonly Ranges[]
  readonly #deny: readonly Ranges[]
  readonly #balancers: Ranges
  readonly #trustsUnix: boolean
  readonly #groups: Ranges
  readonly #groupNames: readonly string[]

  /** @throws Error that names the range that is none */
  constructor({ allow = [], deny = [], allowFile, denyFile, balancers = [], groups = {} }: AddressLists = {}) {
    this.#allow = listsOf(allow, allowFile)
    this.#deny = listsOf(deny, denyFile)
    this.#trustsUnix = balancers.includes('unix')
    this.#balancers = Ranges.of(balancers.filter(each => each !== 'unix'))
    this.#groupNames = Object.keys(groups)
    this.#groups = Ranges.labelled(Object.values(groups))
  }

  /** A PROXY header is due on its connections, and is believed. */
  isBalancer(address: string): boolean {
    return address === 'unix' ? this.#trustsUnix : this.#balancers.has(address)
  }

  /** @param address as `normalAddress` gives it   @returns undefined: it may come */
  against(address: string): 'denied' | 'not-allowed' | undefined {
    if (this.isDenied(address)) return 'denied'
    return this.#isAllowed(address) ? undefined : 'not-allowed'
  }

  /** @returns the group with limits of its own that the address belongs to: of several that with the narrowest range */
  groupOf(address: string): string | undefined {
    return this.#groups.size === 0 ? undefined : this.#groupNames[this.#groups.labelOf(address)]
  }

  isDenied(address: string): boolean {
    for (const list of this.#deny) if (list.has(address)) return true
    return false
  }

  /** Without an allow list only this host comes in: the configuration demands a list on every other listener. Who may
   *  open a unix socket is said by its file permissions. */
  #isAllowed(address: string): boolean {
    if (address === 'unix') return true
    if (this.#allow.length === 0) return isLoopback(address)
    for (const list of this.#allow) if (list.has(address)) return true
    return false
  }
}

/** A file that is named counts as a list even if it holds nothing. */
function listsOf(written: readonly string[], file: Ranges | undefined): Ranges[] {
  return [...written.length === 0 ? [] : [Ranges.of(written)], ...file === undefined ? [] : [file]]
}
