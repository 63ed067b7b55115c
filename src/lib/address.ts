import { parseAddress } from './parse-address.ts'

const words = new Uint32Array(4)

/** The one form in which an address is compared, counted and logged: IPv4-mapped IPv6 as IPv4, no zone. 'unix' when
 *  there is none (a unix socket has no peer address). */
export function normalAddress(address: string | undefined): string {
  if (address === undefined || address === '') return 'unix'
  // A listener on [::] sees IPv4 peers as ::ffff:10.0.0.1; rules and limits must not tell the two apart.
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice('::ffff:'.length)
  const zone = address.indexOf('%')
  return zone < 0 ? address : address.slice(0, zone)
}

export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.')
}

/** Who counts as one client, for limits, turns and the log alike: an IPv4 address, or the network that an IPv6 one lies in.
 *  @param address as `normalAddress` gives it, in the short form of the system (lower case, `::`)
 *  @param prefix bits of an IPv6 address that make a client   @returns the address itself with 128, else `2001:db8:0:1::/64` */
export function clientKey(address: string, prefix: number): string {
  if (prefix >= 128 || parseAddress(address, address.length, words) !== 6) return address
  const groups = Math.ceil(prefix / 16)
  const spare = groups * 16 - prefix
  let text = ''
  for (let at = 0; at < groups; at++) {
    const group = at % 2 === 0 ? words[at >> 1] >>> 16 : words[at >> 1] & 0xffff
    text += `${at === 0 ? '' : ':'}${(at < groups - 1 ? group : group >> spare << spare).toString(16)}`
  }
  return `${text}${groups < 8 ? '::' : ''}/${prefix}`
}

/** The network in which whoever has one address is likely to have others: the /24 of an IPv4 address, the /64 of an IPv6 one.
 *  @param client as `clientKey` gives it   @returns the client itself when it is no smaller than that */
export function networkOf(client: string): string {
  const [address, prefix = '128'] = client.split('/') as [string, string?]
  if (address.includes(':')) return Number(prefix) <= 64 ? client : clientKey(address, 64)
  const end = address.lastIndexOf('.')
  return end < 0 ? address : `${address.slice(0, end)}.0/24`
}
