import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificates, type Material } from './certificates.ts'
import type { Contestant } from './contestants/contestant.ts'
import { Daemon, freePort } from './contestants/daemon.ts'
import type { Target } from './load/dial.ts'
import type { LoadWorker } from './load/load-worker.ts'
import type { Traffic } from './load/script.ts'

/** A contestant that runs, ready to be loaded and measured. */
export interface Entrant {
  contestant: Contestant
  target: Target
  /** the measured processes; of a pair, both daemons */
  pids: number[]
  /** the memcached behind it; undefined where the contestant is the store */
  storePid?: number
  /** where it tells its metrics over HTTP; undefined: nowhere */
  metricsUrl?: string
}

/** All that runs at one time: one memcached, one daemon a contestant, a sidecar where there is one. */
export class Field {
  readonly material: Material
  readonly directory: string
  #memcached: Contestant
  #store: Daemon | undefined
  #daemons = new Map<string, Daemon>()
  /** which stores hold which keys */
  #filled = new Set<string>()

  /** @param memcached what stands behind all */
  constructor(memcached: Contestant) {
    this.#memcached = memcached
    this.directory = mkdtempSync(join(tmpdir(), 'memseal-bench-'))
    chmodSync(this.directory, 0o755)   // peers give up root, some before they read their certificates
    this.material = makeCertificates(this.directory)
  }

  async open(): Promise<void> {
    const port = await freePort()
    const plan = this.#memcached.server({
      port, memcachedPort: port, adminPort: port, material: this.material, directory: this.directory,
    })
    this.#store = await Daemon.start('memcached', port, plan, join(this.directory, 'store'))
  }

  /** Stores the keys of this traffic where the contestant looks for them, once. */
  async fill(contestant: Contestant, traffic: Traffic, worker: LoadWorker): Promise<void> {
    const target = contestant.isStore && !contestant.isPlain ? (await this.server(contestant)).target : { port: this.#store!.port }
    const name = `${target.port} ${traffic.keys} ${traffic.valueBytes}`
    if (this.#filled.has(name)) return
    await worker.prepare('fill', { kind: 'fill', target, traffic })
    await worker.finish('fill')
    this.#filled.add(name)
  }

  /** @throws when it does not start */
  async server(contestant: Contestant): Promise<Entrant> {
    if (contestant.isPlain) {
      return { contestant, target: { port: this.#store!.port }, pids: [this.#store!.pid] }
    }
    const daemon = await this.#running(contestant.name, () => this.#startServer(contestant, contestant.name))
    return this.#entrant(contestant, daemon)
  }

  /** A second, fresh instance, for what depends on a process's past. End it with `retire`. */
  async freshServer(contestant: Contestant): Promise<Entrant & { retire(): Promise<void> }> {
    const daemon = await this.#startServer(contestant, `${contestant.name}-fresh`)
    return { ...this.#entrant(contestant, daemon), retire: () => daemon.stop() }
  }

  /** Plain connections in, through sidecar, TLS and server.   @throws when it has no sidecar or does not start */
  async pair(contestant: Contestant): Promise<Entrant> {
    const server = await this.server(contestant)
    const name = `${contestant.name}-sidecar`
    const sidecar = await this.#running(name, async () => {
      const port = await freePort()
      const site = {
        port, serverPort: server.target.port, material: this.material, directory: join(this.directory, name),
      }
      const absent = contestant.sidecar ? contestant.sidecarAbsent?.(site) : 'it cannot be a sidecar with a certificate'
      if (absent) throw new Error(absent)
      return Daemon.start(name, port, contestant.sidecar!(site), site.directory)
    })
    return { ...server, target: { port: sidecar.port }, pids: [...server.pids, sidecar.pid] }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#daemons.values(), this.#store].map(daemon => daemon?.stop()))
    rmSync(this.directory, { recursive: true, force: true })
  }

  // One that fell over in an earlier workload gets another chance in the next.
  async #running(name: string, start: () => Promise<Daemon>): Promise<Daemon> {
    let daemon = this.#daemons.get(name)
    if (!daemon?.isRunning) {
      daemon = await start()
      this.#daemons.set(name, daemon)
    }
    return daemon
  }

  async #startServer(contestant: Contestant, name: string): Promise<Daemon> {
    const port = await freePort()
    const directory = join(this.directory, name)
    const memcachedPort = contestant.isPlain ? port : this.#store!.port
    const adminPort = await freePort()
    const plan = contestant.server({ port, memcachedPort, adminPort, material: this.material, directory })
    return Daemon.start(name, port, plan, directory)
  }

  #entrant(contestant: Contestant, daemon: Daemon): Entrant {
    return {
      contestant, pids: [daemon.pid], metricsUrl: daemon.metricsUrl,
      target: { port: daemon.port, tls: contestant.isPlain ? undefined : clientSide(this.material) },
      storePid: contestant.isStore ? undefined : this.#store!.pid,
    }
  }
}

function clientSide(material: Material) {
  return { ca: material.ca, cert: material.clientCert, key: material.clientKey }
}
