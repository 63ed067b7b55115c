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

/** Whom the limits per client count: an IPv4 address, or the /64 of an IPv6 one, since a host has the whole /64 at will.
 *  @param address as `normalAddress` gives it, in the short form of the system (lower case, `::`) */
export function clientKey(address: string): string {
  if (!address.includes(':')) return address
  const [head, tail] = address.split('::') as [string, string?]
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const ending = tail === '' ? 0 : tail.split(':').length + (tail.includes('.') ? 1 : 0)
    const zeros = 8 - groups.length - ending
    for (let i = 0; i < zeros; i++) groups.push('0')
    // The tail may reach into the first four groups (`::1:2:3:4:5`).
    if (groups.length < 4) groups.push(...tail.split(':'))
  }
  return `${groups.slice(0, 4).join(':')}::/64`
}
