import { BlockList, isIP } from 'node:net'

/** Addresses and networks, compiled once. IPv4-mapped IPv6, in rules as in addresses, counts as IPv4. */
export class CidrList {
  #list = new BlockList()
  readonly size: number

  /** @param rules `10.0.0.0/8`, `fd00::/8`, `10.1.2.3`, `::1`.   @throws Error naming the rule that is none */
  constructor(rules: readonly string[]) {
    for (const rule of rules) this.#add(rule)
    this.size = rules.length
  }

  /** @param address as `normalAddress` gives it; what is no address matches nothing */
  has(address: string): boolean {
    const family = isIP(address)
    return family !== 0 && this.#list.check(address, family === 4 ? 'ipv4' : 'ipv6')
  }

  #add(rule: string): void {
    const [written, bits] = rule.split('/') as [string, string?]
    const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(written)
    const address = mapped ? mapped[1] : written
    const family = isIP(address)
    const width = family === 4 ? 32 : 128
    const prefix = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) - (mapped ? 96 : 0) : -1
    if (family === 0 || prefix < 0 || prefix > width) throw new Error(`"${rule}" is no address and no network`)
    this.#list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
  }
}
