/** One service: its clients, its lanes, and what they share. */
import type { Socket } from 'node:net'
import type { ServiceConfig } from '../config/schema.ts'
import { endpointText } from '../config/endpoint.ts'
import type { Clock } from '../lib/clock.ts'
import { CommandPolicy } from '../policy/command-policy.ts'
import type { Dialect } from '../proto/frame.ts'
import type { Peer } from '../process/listener.ts'
import type { Logger } from '../telemetry/log.ts'
import type { BackendContext } from './backend-connection.ts'
import { BinaryLane } from './binary-lane.ts'
import { ClientSession, type ClientClose } from './client-session.ts'
import { Pool } from './pool.ts'
import { ReplyMemory, SlabPool } from './slab.ts'
import { TextLane } from './text-lane.ts'
import type { Turn } from './turn.ts'
import { Repeats } from '../admission/repeats.ts'

/** What a shared lane reads at once: large values arrive in few reads. A private connection is one client's. */
const SHARED_SLAB_BYTES = 256 * 1024
const PRIVATE_SLAB_BYTES = 32 * 1024
/** Measured at 1, 16 and 100 requests in flight: one lane beats several, since requests of more clients leave together. */
const AUTO_LANES = 1

export class Service {
  readonly name: string
  readonly limits: ServiceConfig['limits']
  readonly sharing: 'shared' | 'private'
  readonly isCoalescing: boolean
  readonly policy: CommandPolicy
  readonly clock: Clock
  readonly turn: Turn
  readonly log: Logger
  /** Bytes of unfinished requests that are held. */
  heldBytes = 0

  readonly #context: BackendContext
  readonly #memory: ReplyMemory
  readonly #privateSlabs: SlabPool
  readonly #text: Pool<TextLane>
  readonly #binary: Pool<BinaryLane>
  readonly #sessions = new Set<ClientSession>()
  readonly #repeats = new Repeats()
  #privates = 0
  #isDraining = false
  #onEmpty: (() => void) | undefined
  #checkedAt = 0
  readonly #unwatch: () => void

  constructor(name: string, config: ServiceConfig, shared: { clock: Clock; turn: Turn; log: Logger }) {
    this.name = name
    this.limits = config.limits
    this.sharing = config.backend.sharing
    this.isCoalescing = config.reply_coalescing
    this.policy = new CommandPolicy(config.commands)
    this.clock = shared.clock
    this.turn = shared.turn
    this.log = shared.log
    this.#memory = new ReplyMemory(config.limits.reply_memory, () => this.#closeMostBehind())
    this.#privateSlabs = new SlabPool(PRIVATE_SLAB_BYTES, this.#memory)
    const target = config.backend.connect[0]
    if (target.kind === 'systemd') throw new Error('a backend is no systemd socket')
    const context: BackendContext = {
      settings: { target, connectTimeoutMs: config.backend.connect_timeout, replyTimeoutMs: config.backend.reply_timeout },
      turn: this.turn, clock: this.clock, slabs: new SlabPool(SHARED_SLAB_BYTES, this.#memory),
    }
    this.#context = context
    const size = config.backend.connections === 'auto' ? AUTO_LANES : config.backend.connections
    const pool = { service: name, target: endpointText(target), size, log: this.log }
    this.#text = new Pool({ ...pool, dialect: 'text', connect: (owner) => new TextLane(context, owner, context.slabs, false) })
    this.#binary = new Pool({ ...pool, dialect: 'binary', connect: (owner) => new BinaryLane(context, owner, context.slabs, false) })
    this.#unwatch = this.clock.watch((now) => this.#checkDeadlines(now))
    if (this.sharing === 'shared') this.#text.open()
  }

  get clients(): number {
    return this.#sessions.size
  }

  /** A client that has been admitted; its socket has not been read. */
  serve(socket: Socket, peer: Peer): void {
    if (this.#isDraining) socket.destroy()
    else new ClientSession(this, socket, peer)
  }

  forget(session: ClientSession): void {
    this.#text.forget(session)
    this.#binary.forget(session)
  }

  add(session: ClientSession): void {
    this.#sessions.add(session)
  }

  remove(session: ClientSession): void {
    this.#sessions.delete(session)
    if (this.#sessions.size === 0) this.#onEmpty?.()
  }

  /** Lanes for binary clients are opened when the first of them comes. */
  pool(dialect: Dialect): Pool<TextLane> | Pool<BinaryLane> {
    const pool = dialect === 'binary' ? this.#binary : this.#text
    if (!this.#isDraining) pool.open()
    return pool
  }

  /** @returns undefined when there are as many as there may be */
  openPrivate(dialect: Dialect, session: ClientSession): TextLane | BinaryLane | undefined {
    const most = this.sharing === 'private' ? this.limits.connections : this.limits.private_connections
    if (this.#privates >= most) return undefined
    this.#privates++
    const Connection = dialect === 'binary' ? BinaryLane : TextLane
    const connection = new Connection(this.#context, session, this.#privateSlabs, true)
    this.#privateConnections.add(connection)
    return connection
  }

  readonly #privateConnections = new Set<TextLane | BinaryLane>()

  privateClosed(): void {
    this.#privates--
    for (const connection of this.#privateConnections) if (connection.state === 'closed') this.#privateConnections.delete(connection)
  }

  /** A command was refused: one line per client, command and minute. */
  refused(peer: Peer, command: string): void {
    const suppressed = this.#repeats.tell(`${peer.address} ${command}`)
    if (suppressed === undefined) return
    this.log.warn({
      event: 'command-refused', client: peer.id, service: this.name, address: peer.address, subject: peer.tls?.subject, command, suppressed,
    }, `refused ${command}: not among the commands of this service`)
  }

  /** Requests that are not whole hold more memory, or less. Above the limit those go that were begun longest ago: a
   *  client that works is done with its request before that. */
  holds(growth: number): void {
    this.heldBytes += growth
    while (this.heldBytes > this.limits.request_memory) {
      let oldest: ClientSession | undefined
      for (const session of this.#sessions) {
        if (session.holdsSince < (oldest?.holdsSince ?? Infinity)) oldest = session
      }
      if (oldest === undefined) return
      oldest.destroy('request-memory')
    }
  }

  #checkDeadlines(now: number): void {
    this.#text.checkDeadlines(now)
    this.#binary.checkDeadlines(now)
    for (const connection of this.#privateConnections) connection.checkDeadline(now)
    if (now - this.#checkedAt < 500) return
    this.#checkedAt = now
    for (const session of this.#sessions) session.checkDeadlines(now, this.#isDraining)
  }

  /** Replies take more memory than they may: whoever has left most of them unread goes. */
  #closeMostBehind(): void {
    let most: ClientSession | undefined
    for (const session of this.#sessions) {
      if (most === undefined || session.replies.backlog > most.replies.backlog) most = session
    }
    if (most !== undefined && most.replies.backlog > 0) most.destroy('reply-memory')
  }

  /** Closes idle clients now and busy ones when they have what they are owed. @returns when none is left */
  drain(): Promise<void> {
    this.#isDraining = true
    for (const session of [...this.#sessions]) session.drain()
    return new Promise((resolve) => {
      this.#onEmpty = resolve
      if (this.#sessions.size === 0) resolve()
    })
  }

  /** Closes everything that is left. */
  close(why: ClientClose): void {
    this.#isDraining = true
    for (const session of [...this.#sessions]) session.destroy(why)
    this.#text.close()
    this.#binary.close()
    this.#unwatch()
  }
}
