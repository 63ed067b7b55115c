import { lstatSync, readlinkSync, renameSync, statSync, unlinkSync, type Stats } from 'node:fs'
import { connect, type AddressInfo, type ListenOptions, type Server } from 'node:net'
import { dirname } from 'node:path'
import { endpointText, type Endpoint } from './endpoint.ts'
import { shortAddress } from './ip.ts'
import { bindForNobodyElse, openTo, type SocketPermissions } from './socket-permissions.ts'

// An endpoint becomes servers that listen: one for each address that it stands for.
//
//   127.0.0.1:P, [::1]:P     that address
//   localhost:P              127.0.0.1 and, where the host has it, ::1; the name is not looked up
//   [::]:P                   both families; 0.0.0.0 on a host without IPv6
//   unix:/PATH               that path, if nothing lies there but a socket that nobody listens on
//   systemd:NAME             as many as were passed under that name

export interface BindOptions<S extends Server> {
  /** A server that does not listen yet; asked once for each address. */
  make: () => S
  /** Connections that the kernel keeps for us. Left out: Node's default. */
  backlog?: number
  /** Who may use a unix socket. Left out: whoever the process's umask leaves in. */
  permissions?: SocketPermissions
  /** File descriptors that were passed under the name of a `systemd:` endpoint. @throws Error in words */
  passed?: (name: string) => number[]
}

/** What the operator should know of it: `warn` when it is not what was written, `debug` when it was to be expected. */
export interface Remark { level: 'warn' | 'debug', words: string }

/** Listening failed, in words for the operator. */
export class ListenError extends Error {
  readonly code: string
  constructor(endpoint: Endpoint, error: BindError) {
    super(`cannot listen on ${endpointText(endpoint)}: ${whyNot(endpoint, error)}`)
    this.code = error.code ?? 'UNKNOWN'
  }
}

export class Bound<S extends Server> {
  readonly servers: readonly S[]
  readonly remarks: readonly Remark[]
  readonly #path: string
  /** What lies at `#path` since it was made here. */
  readonly #inode: string | undefined
  #isClosed = false

  /** @param path of a unix socket that was made here */
  constructor(servers: readonly S[], remarks: readonly Remark[] = [], path = '') {
    this.servers = servers
    this.remarks = remarks
    this.#path = path
    this.#inode = inodeOf(path)
  }

  /** The first address and its port, as the system says it; `unix` for a passed socket that does not say where it lies. */
  get address(): { address: string, port?: number } {
    const address = this.servers[0].address() as AddressInfo | string | null
    if (address === null) return { address: 'unix' }
    return typeof address === 'string' ? { address } : { address: address.address, port: address.port }
  }

  /** Stops listening at once. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const aside = this.#setAside()
    for (const server of this.servers) if (server.listening) server.close()
    if (aside !== undefined) renameSync(aside, this.#path)
  }

  /** libuv removes whatever lies at the path of a unix socket that it closes. If that is another's by now, it is out of the
   *  way for that moment; all of this happens within one turn. @returns where it is meanwhile */
  #setAside(): string | undefined {
    const now = inodeOf(this.#path)
    if (now === undefined || now === this.#inode) return undefined
    const aside = `${this.#path}.${process.pid}`
    try {
      renameSync(this.#path, aside)
      return aside
    } catch {
      return undefined   // where we may not rename, libuv may not remove either
    }
  }
}

/** @throws ListenError; then nothing listens */
export async function bind<S extends Server>(endpoint: Endpoint, options: BindOptions<S>): Promise<Bound<S>> {
  try {
    switch (endpoint.kind) {
      case 'tcp': return await bindTcp(endpoint.host, endpoint.port, options)
      case 'unix': return await bindUnix(endpoint.path, options)
      case 'systemd': return new Bound(await Promise.all((options.passed?.(endpoint.name) ?? []).map(fd => open({ fd }, options))))
      default: return endpoint satisfies never
    }
  } catch (error) {
    throw new ListenError(endpoint, error as BindError)
  }
}

type BindError = NodeJS.ErrnoException & { address?: string }

/** What is wrong and what to do, said already. */
class InWords extends Error {
  readonly code: string | undefined
  constructor(words: string, code?: string) {
    super(words)
    this.code = code
  }
}

const IN_USE = 'another process listens there. Stop it, or choose another path.'

async function bindTcp<S extends Server>(host: string, port: number, options: BindOptions<S>): Promise<Bound<S>> {
  if (host === 'localhost') return bindLocalhost(port, options)
  try {
    return new Bound([await open({ host, port }, options)])
  } catch (error) {
    if (shortAddress(host) !== '::' || !isAbsent(error as BindError)) throw error
    return new Bound([await open({ host: '0.0.0.0', port }, options)], [
      { level: 'warn', words: 'this host has no IPv6, so only IPv4 clients get in: it listens on 0.0.0.0' },
    ])
  }
}

/** A free port of one family may be taken in the other. */
const MOST_TRIES = 20

async function bindLocalhost<S extends Server>(port: number, options: BindOptions<S>): Promise<Bound<S>> {
  for (let tries = 1; ; tries++) {
    const v4 = await tryOpen({ host: '127.0.0.1', port }, options)
    const v6 = await tryOpen({ host: '::1', port: portOf(v4) ?? port }, options)
    const servers = [v4, v6].filter(each => !(each instanceof Error)) as S[]
    if (servers.length === 2) return new Bound(servers)
    const failed = [v4, v6].filter(each => each instanceof Error) as BindError[]
    const inTheWay = failed.find(error => !isAbsent(error))
    if (servers.length === 1 && inTheWay === undefined) {
      const missing = v4 instanceof Error ? '127.0.0.1' : '::1'
      return new Bound(servers, [{ level: 'debug', words: `this host has no ${missing}, so localhost is one address here` }])
    }
    for (const server of servers) server.close()
    if (inTheWay?.code === 'EADDRINUSE' && port === 0 && tries < MOST_TRIES) continue
    throw inTheWay ?? failed[0]
  }
}

async function bindUnix<S extends Server>(path: string, options: BindOptions<S>): Promise<Bound<S>> {
  try {
    return await openPath(path, options)
  } catch (error) {
    if ((error as BindError).code !== 'EADDRINUSE') throw error
    await makeWay(path)
    return await openPath(path, options)
  }
}

async function openPath<S extends Server>(path: string, options: BindOptions<S>): Promise<Bound<S>> {
  const { permissions } = options
  if (permissions === undefined) return new Bound([await open({ path }, options)], [], path)
  const bound = new Bound([await bindForNobodyElse(() => open({ path }, options))], [], path)
  try {
    openTo(path, permissions)
  } catch (error) {
    bound.close()
    throw new InWords((error as Error).message)
  }
  return bound
}

/** A process that was killed leaves its socket's path behind. If nobody listens there, it is ours to take; all else that may
 *  lie at a path is somebody's. @throws InWords */
async function makeWay(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) {
    throw new InWords(`${whatIs(found, path)} lies there, and memseal takes over nothing but a socket that nobody listens on. ` +
      'Remove it, or choose another path.', 'EADDRINUSE')
  }
  const code = await outcomeOfConnect(path)
  if (code === 'ENOENT') return
  if (code === 'EACCES' || code === 'EPERM') {
    throw new InWords('a socket lies there that the user of memseal may not connect to, so it cannot tell whether it is in use. ' +
      `Remove it (rm ${path}), or choose another path.`, 'EADDRINUSE')
  }
  // Anything but a refusal is a sign of an owner: EAGAIN when it is slow to accept, EPROTOTYPE when it takes datagrams. And
  // another process may have been quicker to take over the same path.
  if (code !== 'ECONNREFUSED' || inodeOf(path) !== inodeText(found)) throw new InWords(IN_USE, 'EADDRINUSE')
  try {
    unlinkSync(path)
  } catch (error) {
    throw new InWords(`nobody listens there any more, and the socket that was left cannot be removed (${(error as BindError).code}). ` +
      `Remove it (rm ${path}), or let the user of memseal write to ${dirname(path)}.`, 'EADDRINUSE')
  }
}

/** @returns undefined when somebody listens */
function outcomeOfConnect(path: string): Promise<string | undefined> {
  return new Promise(resolve => {
    const probe = connect({ path }, () => { probe.destroy(); resolve(undefined) })
    probe.on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
  })
}

/** The system is asked before it returns. */
function open<S extends Server>(where: ListenOptions | { fd: number }, { make, backlog }: BindOptions<S>): Promise<S> {
  return new Promise((resolve, reject) => {
    const server = make()
    server.once('error', reject)
    server.listen({ ...where, backlog }, () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

function tryOpen<S extends Server>(where: ListenOptions, options: BindOptions<S>): Promise<S | BindError> {
  return open(where, options).catch((error: BindError) => error)
}

/** Has this host no such address, or not even the family? */
function isAbsent({ code }: BindError): boolean {
  return code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL' || code === 'EPROTONOSUPPORT'
}

function portOf(server: Server | Error): number | undefined {
  return server instanceof Error ? undefined : (server.address() as AddressInfo).port
}

function inodeOf(path: string): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false })
  return found === undefined ? undefined : inodeText(found)
}

/** Numbers of inodes are used again; with the time of birth none stands for two. */
function inodeText({ dev, ino, birthtimeMs }: Stats): string {
  return `${dev} ${ino} ${birthtimeMs}`
}

export function whatIs(found: Stats, path: string): string {
  if (found.isSymbolicLink()) return `a symbolic link to ${readlinkSync(path)}`
  if (found.isDirectory()) return 'a folder'
  return found.isFile() ? 'a file' : 'something that is not a socket'
}

function whyNot(endpoint: Endpoint, error: BindError): string {
  if (error instanceof InWords) return error.message
  if (endpoint.kind === 'unix') {
    // libuv says EACCES for a folder that is missing, too.
    const folder = dirname(endpoint.path)
    const found = statSync(folder, { throwIfNoEntry: false })
    if (found === undefined) return `there is no folder ${folder}. Create it, owned by the user of memseal.`
    if (!found.isDirectory()) return `${folder} is not a folder. Choose another path.`
    if (error.code === 'EACCES') return `not permitted. Let the user of memseal write to ${folder}.`
    if (error.code === 'EROFS') return `${folder} is read-only. Choose a path below a folder that memseal may write to, such as /run/memseal.`
    if (error.code === 'EADDRINUSE') return IN_USE
  }
  // `localhost` stands for two addresses; the one that failed is named.
  const which = endpoint.kind === 'tcp' && endpoint.host === 'localhost' && error.address !== undefined
    ? `on ${endpointText({ ...endpoint, host: error.address })} ` : ''
  switch (error.code) {
    case 'EADDRINUSE': return `another process listens ${which === '' ? 'there' : which.trim()}. Stop it, or choose another port (ss -ltnp names it).`
    case 'EAFNOSUPPORT': case 'EPROTONOSUPPORT': case 'EADDRNOTAVAIL': return noSuchAddress(endpoint, error.code)
    case 'EACCES': case 'EPERM': return 'not permitted. Ports below 1024 need CAP_NET_BIND_SERVICE; choose another, or grant it.'
    case 'EMFILE': return 'too many open files. Raise the open-files limit.'
    default: return `${error.message}.`
  }
}

function noSuchAddress(endpoint: Endpoint, code: string): string {
  if (endpoint.kind === 'tcp' && endpoint.host.includes(':')) {
    if (shortAddress(endpoint.host) === '::1') return `this host has no IPv6. Write 127.0.0.1:${endpoint.port}.`
    if (code !== 'EADDRNOTAVAIL') return 'this host has no IPv6. Write an IPv4 address of its own (ip address), or 0.0.0.0.'
  }
  return 'this host has no such address. Write one of its own (ip address), or 0.0.0.0 or [::].'
}
