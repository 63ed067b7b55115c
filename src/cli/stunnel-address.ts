import { isIP, isIPv6 } from 'node:net'

// Addresses as stunnel writes them: PORT, HOST:PORT with the last colon as the border (:::11212 is [::]:11212), or the path
// of a unix socket.

/** Stands where only the operator knows what to write; no key of memseal takes it. */
export const fillIn = 'FILL-IN'

export interface Address {
  text: string               // as `listen` and `connect` take it; FILL-IN when it cannot be told
  host: string               // '' for a unix socket
  port: number               // 0 for a unix socket or an unknown one
  problem: string | undefined
}

/** Without a host: all IPv4 addresses. */
export function acceptAddress(value: string): Address {
  const address = parse(value, '0.0.0.0')
  if (address.problem !== undefined || address.host === '' || address.host === 'localhost' || isIP(address.host) !== 0) return address
  return { ...address, text: fillIn, problem: `memseal listens on addresses, not on names. Write the address of ${address.host} with the port ${address.port}.` }
}

/** Without a host: this host. */
export function connectAddress(value: string): Address {
  return parse(value, '127.0.0.1')
}

function parse(value: string, withoutHost: string): Address {
  if (value.startsWith('/')) return { text: `unix:${value}`, host: '', port: 0, problem: undefined }
  const colon = value.lastIndexOf(':')
  const given = colon === -1 ? '' : value.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  const host = given === '' || given === '*' ? withoutHost : given
  const port = value.slice(colon + 1)
  const text = `${isIPv6(host) ? `[${host}]` : host}:${port}`
  if (/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535) return { text, host, port: Number(port), problem: undefined }
  return { text: fillIn, host, port: 0, problem: /^\d+$/.test(port) || port === '' ? `"${port}" is no port. Write ${host}: and a port from 1 to 65535.`
    : `memseal takes ports as numbers. Write ${host}: and the number of "${port}" (getent services ${port}).` }
}

/** Can only this host reach it? */
export function isLoopback({ host, text }: Address): boolean {
  return text.startsWith('unix:') || host === 'localhost' || host === '::1' || /^127\./.test(host)
}
