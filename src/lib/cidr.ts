import { BlockList, isIP } from 'node:net'

/** Addresses and networks, compiled once. IPv4-mapped IPv6, in rules as in addresses, counts as IPv4. */
export class CidrList {
  // One list for each family: a BlockList would let IPv4 addresses match `::/0`, as IPv4-mapped ones.
  #ipv4 = new BlockList()
  #ipv6 = new BlockList()
  readonly size: number

  /** @param rules `10.0.0.0/8`, `fd00::/8`, `10.1.2.3`, `::1`.   @throws Error naming the rule that is none */
  constructor(rules: readonly string[]) {
    for (const rule of rules) this.#add(rule)
    this.size = rules.length
  }

  /** @param address as `normalAddress` gives it; what is no address matches nothing */
  has(address: string): boolean {
    const family = isIP(address)
    return family === 4 ? this.#ipv4.check(address, 'ipv4') : family === 6 && this.#ipv6.check(address, 'ipv6')
  }

  #add(rule: string): void {
    const [written, bits] = rule.split('/') as [string, string?]
    const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(written)
    const address = mapped ? mapped[1] : written
    const family = isIP(address)
    const width = family === 4 ? 32 : 128
    const prefix = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) - (mapped ? 96 : 0) : -1
    if (family === 0 || prefix < 0 || prefix > width) throw new Error(`"${rule}" is no address and no network`)
    if (family === 4) this.#ipv4.addSubnet(address, prefix, 'ipv4')
    else this.#ipv6.addSubnet(address, prefix, 'ipv6')
  }
}
