import { setTimeout as sleep } from 'node:timers/promises'
import type { Entrant } from '../field.ts'
import { joinLatencies, percentile } from '../load/latency.ts'
import type { LoadWorker } from '../load/load-worker.ts'
import type { LoadWindow, Task } from '../load/messages.ts'
import { participants, readUsage, usageBetween, type Participants, type Usage } from '../measure/usage.ts'
import type { Sample } from '../measures.ts'
import { StandIn } from '../stand-in.ts'
import type { Shape } from '../workloads.ts'
import { loaderPids, type Bout, type Loaders, type Slice } from './bout.ts'

type RateShape = Extract<Shape, { kind: 'steady' | 'reconnecting' }>

/** As many requests as go in the time. */
export class RateBout implements Bout {
  #shape: RateShape
  #entrant: Entrant
  #name: string
  #workers: LoadWorker[]
  #disturbing: LoadWorker
  #participants: Participants
  #standIn: StandIn | undefined

  constructor(shape: RateShape, entrant: Entrant, loaders: Loaders) {
    this.#shape = shape
    this.#entrant = entrant
    this.#name = entrant.contestant.name
    this.#workers = loaders.measuring.slice(0, shape.kind === 'steady' ? shape.clients : shape.atOnce)
    this.#disturbing = loaders.disturbing
    this.#participants = participants({
      contestant: entrant.pids, store: entrant.storePid ? [entrant.storePid] : [], loaders: loaderPids(loaders),
    })
  }

  async open(): Promise<void> {
    const of = this.#workers.length
    await Promise.all(this.#workers.map((worker, index) => worker.prepare(this.#name, this.#task({ index, of }))))
    const requestsPerSecond = this.#shape.kind === 'steady' ? this.#shape.scrapesPerSecond : undefined
    if (requestsPerSecond === undefined) return
    const { contestant, metricsUrl } = this.#entrant
    if (!metricsUrl) throw new Error(`${contestant.name} tells no metrics over HTTP`)
    this.#standIn = await StandIn.serving(metricsUrl)
    await this.#disturbing.prepare(this.#name, { kind: 'scraping', url: metricsUrl, elsewhere: this.#standIn.url, requestsPerSecond })
  }

  async slice(ms: number): Promise<Slice> {
    const workers = this.#standIn ? [...this.#workers, this.#disturbing] : this.#workers
    const before = readUsage(this.#participants)
    await Promise.all(workers.map(worker => worker.run(this.#name)))
    await sleep(ms)
    const windows = await Promise.all(workers.map(worker => worker.pause(this.#name)))
    const usage = usageBetween(before, readUsage(this.#participants))
    const scraped = this.#standIn ? windows.pop() : undefined
    return { othersShare: usage.othersShare, sample: { ...this.#rates(usage, windows), ...scraping(scraped, windows) } }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#workers, ...this.#standIn ? [this.#disturbing] : []].map(worker => worker.finish(this.#name)))
    this.#standIn?.close()
  }

  #task(share: { index: number, of: number }): Task {
    const { target } = this.#entrant
    if (this.#shape.kind === 'reconnecting') {
      const { traffic, resume, atOnce } = this.#shape
      return { kind: 'reconnecting', target, traffic, resume, atOnce: Math.ceil(atOnce / share.of) }
    }
    const { traffic, clients, depth, requestsPerSecond, scrapesPerSecond } = this.#shape
    if (requestsPerSecond) return { kind: 'paced', target, traffic, clients, depth, share, requestsPerSecond }
    return { kind: 'steady', target, traffic, clients, depth, share, tellsHalves: scrapesPerSecond !== undefined }
  }

  #rates({ contestantUs, storeUs, loadersUs, othersShare }: Usage, windows: LoadWindow[]): Sample {
    const sum = (pick: (window: LoadWindow) => number) => windows.reduce((total, window) => total + pick(window), 0)
    const requests = sum(window => window.requestsToTheEnd)
    if (requests === 0) throw new Error('no request was answered in a slice')
    const latency = joinLatencies(windows.map(window => window.latency))
    const connections = sum(window => window.connections)
    const { storePid, target } = this.#entrant
    return {
      proxyUs: contestantUs / requests,
      memcachedUs: storePid ? storeUs / requests : undefined,
      togetherUs: (contestantUs + storeUs) / requests,
      requestsPerSecond: sum(window => window.requests / window.seconds),
      p50Us: percentile(latency, 50), p99Us: percentile(latency, 99),
      megabytesPerCpuSecond: sum(window => window.valueBytes) / contestantUs,   // B per us is MB per s
      handshakesPerCpuSecond: target.tls && connections > 0 ? connections / contestantUs * 1e6 : undefined,
      resumedShare: target.tls && connections > 0 ? sum(window => window.resumed) / connections : undefined,
      loadUs: loadersUs / requests,
      othersShare,
    }
  }
}

function scraping(scraped: LoadWindow | undefined, windows: LoadWindow[]): Sample {
  if (!scraped) return {}
  if (scraped.requests === 0) throw new Error('no scrape was answered in a slice')
  const halves = windows.flatMap(window => window.halves ? [window.halves] : [])
  const scrapedP99Us = percentile(joinLatencies(halves.map(half => half[0])), 99)
  const unscrapedP99Us = percentile(joinLatencies(halves.map(half => half[1])), 99)
  if (!scrapedP99Us || !unscrapedP99Us) throw new Error('no request was answered in one half of the seconds')
  return {
    scrapesPerSecond: scraped.requests / scraped.seconds, scrapeUs: percentile(scraped.latency, 50),
    scrapedP99Us, unscrapedP99Us, scrapedP99Ratio: scrapedP99Us / unscrapedP99Us,
  }
}
