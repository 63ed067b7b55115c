import { isLoopback } from '../lib/address.ts'
import { Ranges } from '../lib/ranges.ts'

/** Which addresses may come, as the configuration and the files that it names say it. */
export interface AddressLists {
  allow?: readonly string[]
  deny?: readonly string[]
  /** What `allow_file` and `deny_file` hold; it adds to `allow` and `deny`. */
  allowFile?: Ranges
  denyFile?: Ranges
}

export class AddressRules {
  readonly #allow: readonly Ranges[]
  readonly #deny: readonly Ranges[]

  /** @throws Error that names the range that is none */
  constructor({ allow = [], deny = [], allowFile, denyFile }: AddressLists = {}) {
    this.#allow = listsOf(allow, allowFile)
    this.#deny = listsOf(deny, denyFile)
  }

  /** @param address as `normalAddress` gives it   @returns undefined: it may come */
  against(address: string): 'denied' | 'not-allowed' | undefined {
    for (const list of this.#deny) if (list.has(address)) return 'denied'
    return this.#isAllowed(address) ? undefined : 'not-allowed'
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
