import { isIPv4, isIPv6 } from 'node:net'
import type { Endpoint } from '../lib/endpoint.ts'
import { Problem } from './problem.ts'

// struct sockaddr_un: 108 bytes on Linux, 104 on the BSDs and macOS, the closing NUL counted.
export const longestSocketPath = process.platform === 'darwin' ? 103 : 107

/** Reads `127.0.0.1:11211`, `[::1]:11211`, `cache.example.com:11211`, `unix:/path`, and for listeners `systemd:NAME`. */
export function parseEndpoint(text: string, side: 'listen' | 'connect'): Endpoint | Problem {
  if (text.startsWith('unix:')) return parseUnix(text.slice('unix:'.length))
  if (text.startsWith('systemd:')) return parseSystemd(text.slice('systemd:'.length), side)
  return parseTcp(text, side)
}

/** Where one of a list's entries stands; a list of one may be written as that one. */
export function entryPath(path: string, entries: readonly unknown[], at: number): string {
  return entries.length === 1 ? path : `${path}[${at}]`
}

function parseUnix(path: string): Endpoint | Problem {
  if (!path.startsWith('/')) return new Problem(`"unix:${path}" is not an absolute path.`,
    'Write unix: and a path from the root, such as unix:/run/memseal/cache.sock.')
  const bytes = Buffer.byteLength(path)
  if (bytes > longestSocketPath) {
    return new Problem(`the path of this unix socket has ${bytes} bytes, and the system takes ${longestSocketPath} at the most.`,
      'Write a shorter path.')
  }
  return { kind: 'unix', path }
}

function parseSystemd(name: string, side: 'listen' | 'connect'): Endpoint | Problem {
  if (side === 'connect') return new Problem(`"systemd:${name}" is a socket to listen on, not one to connect to.`,
    'Write host:port or unix:/path.')
  if (!/^[\w.-]{1,255}$/.test(name)) return new Problem(`"${name}" is not a name of a systemd socket.`,
    'Write systemd: and the FileDescriptorName of the socket unit.')
  return { kind: 'systemd', name }
}

function parseTcp(text: string, side: 'listen' | 'connect'): Endpoint | Problem {
  const fix = side === 'listen'
    ? 'Write an address and a port, such as 0.0.0.0:11212, [::]:11212 or 127.0.0.1:11212, or unix:/path.'
    : 'Write a host and a port, such as 127.0.0.1:11211, [::1]:11211 or cache.example.com:11211, or unix:/path.'
  const parts = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text)
  if (parts === null) {
    if (isIPv6(text)) return new Problem(`"${text}" is an IPv6 address without a port.`,
      `Write it in brackets with a port: [${text}]:${side === 'listen' ? 11212 : 11211}.`)
    return new Problem(`"${text}" is not an address with a port.`, fix)
  }
  const port = Number(parts[3])
  const lowest = side === 'listen' ? 0 : 1   // 0: a free port; the log says which
  if (port < lowest || port > 65535) return new Problem(`${port} is not a port.`, `Write a port from ${lowest} to 65535.`)
  if (parts[1] !== undefined) {
    if (isIPv6(parts[1]) && !parts[1].includes('%')) return { kind: 'tcp', host: parts[1], port }
    return new Problem(`"${parts[1]}" is not an IPv6 address.`, fix)
  }
  const host = parts[2]
  if (isIPv4(host) || host === 'localhost') return { kind: 'tcp', host, port }
  if (side === 'listen') return new Problem(`"${text}" is not an address to listen on.`, fix)
  if (!isHostName(host)) return new Problem(`"${host === '' ? text : host}" is neither an address nor a host name.`, fix)
  return { kind: 'tcp', host, port }
}

export function isHostName(host: string): boolean {
  // A last label of digits only would be a mistyped IPv4 address (RFC 3696, section 2).
  return host.length <= 253 &&
    /^(?!-)[\w-]{1,63}(?<!-)(\.(?!-)[\w-]{1,63}(?<!-))*\.?$/.test(host) && !/(^|\.)\d+$/.test(host)
}
