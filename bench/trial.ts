import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Entrant, Field } from './field.ts'
import { joinLatencies, percentile } from './load/latency.ts'
import type { LoadWorker } from './load/load-worker.ts'
import type { LoadWindow, Task } from './load/messages.ts'
import { cpuBetween, readCpu, readMachineCpu, type CpuReading } from './measure/cpu.ts'
import { readMemory } from './measure/memory.ts'
import { processTree } from './measure/process-tree.ts'
import type { Sample } from './measures.ts'
import { StandIn } from './stand-in.ts'
import type { Shape, Workload } from './workloads.ts'

/** The load processes of a run: `measuring` play the clients that count, `disturbing` runs at a lower priority. */
export interface Loaders {
  measuring: LoadWorker[]
  disturbing: LoadWorker
}

export interface Pace {
  warmSeconds: number
  seconds: number
}

const SETTLE_MS = 2000

/** One contestant under one workload, once.   @throws when it refuses, falls over or answers a wrong byte */
export async function runTrial(
  field: Field, workload: Workload, entrant: Entrant, loaders: Loaders, pace: Pace,
): Promise<Sample> {
  switch (workload.shape.kind) {
    case 'idle': return measureIdle(field, workload.shape, entrant, loaders)
    case 'storm': return measureStorm(workload.shape, entrant, loaders, pace)
    case 'steady': case 'reconnecting': return measureRate(workload, entrant, loaders, pace)
    default: return workload.shape satisfies never
  }
}

async function measureRate(workload: Workload, entrant: Entrant, loaders: Loaders, pace: Pace): Promise<Sample> {
  const workers = loaders.measuring.slice(0, usefulLoaders(workload.shape))
  const requestsPerSecond = scrapesOf(workload.shape)
  const standIn = requestsPerSecond ? await standInFor(entrant) : undefined
  const scrapers = standIn ? [loaders.disturbing] : []
  return finishing([...workers, ...scrapers], async () => {
    await Promise.all(workers.map((worker, index) =>
      worker.prepare(taskOf(workload.shape, entrant, { index, of: workers.length }))))
    if (standIn) {
      await loaders.disturbing.prepare({ kind: 'scraping', url: standIn.original, elsewhere: standIn.url, requestsPerSecond: requestsPerSecond! })
    }
    await sleep(pace.warmSeconds * 1000)
    await Promise.all([...workers, ...scrapers].map(worker => worker.mark()))
    const before = readAll(entrant, loaders)
    await sleep(pace.seconds * 1000)
    const after = readAll(entrant, loaders)
    const memory = readMemory(entrant.pids)
    const windows = await Promise.all(workers.map(worker => worker.finish()))
    const [scraped] = await Promise.all(scrapers.map(scraper => scraper.finish()))
    if (scraped?.requests === 0) throw new Error('no scrape was answered in the measured window')
    return {
      ...rates(entrant, before, after, windows), residentMiB: memory.residentBytes / 2 ** 20,
      scrapesPerSecond: scraped && scraped.requests / scraped.seconds,
      scrapeUs: scraped && percentile(scraped.latency, 50),
      ...halvesOf(windows),
    }
  }).finally(() => standIn?.close())
}

function halvesOf(windows: LoadWindow[]): Sample {
  const halves = windows.flatMap(window => window.halves ? [window.halves] : [])
  if (halves.length === 0) return {}
  const scrapedP99Us = percentile(joinLatencies(halves.map(half => half[0])), 99)
  const unscrapedP99Us = percentile(joinLatencies(halves.map(half => half[1])), 99)
  if (!scrapedP99Us || !unscrapedP99Us) throw new Error('no request was answered in one half of the seconds')
  return { scrapedP99Us, unscrapedP99Us, scrapedP99Ratio: scrapedP99Us / unscrapedP99Us }
}

async function measureStorm(
  shape: Extract<Shape, { kind: 'storm' }>, entrant: Entrant, loaders: Loaders, pace: Pace,
): Promise<Sample> {
  const [established] = loaders.measuring
  const storm = loaders.disturbing
  return finishing([established, storm], async () => {
    await established.prepare({
      kind: 'paced', target: entrant.target, traffic: shape.traffic, clients: shape.established, depth: 16,
      share: { index: 0, of: 1 }, requestsPerSecond: shape.requestsPerSecond,
    })
    await storm.prepare({ kind: 'storm', target: entrant.target, connections: shape.newcomers })
    await sleep(pace.warmSeconds * 1000)
    await established.mark()
    const before = readAll(entrant, loaders)
    await storm.mark()
    const after = readAll(entrant, loaders)
    const window = await established.finish()
    const stormWindow = await storm.finish()
    const { p50Us, p99Us, p999Us, maxUs, foreignShare } = rates(entrant, before, after, [window])
    return { p50Us, p99Us, p999Us, maxUs, foreignShare, stormSeconds: stormWindow.seconds }
  })
}

async function measureIdle(
  field: Field, shape: Extract<Shape, { kind: 'idle' }>, entrant: Entrant, loaders: Loaders,
): Promise<Sample> {
  const fresh = await field.freshServer(entrant.contestant)
  const workers = loaders.measuring
  try {
    return await finishing(workers, async () => {
      await sleep(SETTLE_MS / 2)
      const before = readMemory(fresh.pids)
      const connections = Math.floor(shape.connections / workers.length)
      await Promise.all(workers.map(worker => worker.prepare({ kind: 'holding', target: fresh.target, connections })))
      await sleep(SETTLE_MS)
      const after = readMemory(fresh.pids)
      await Promise.all(workers.map(worker => worker.finish()))
      return {
        bytesPerConnection: (after.privateBytes - before.privateBytes) / (connections * workers.length),
        residentMiB: after.residentBytes / 2 ** 20,
      }
    })
  } finally {
    await fresh.retire()
  }
}

function taskOf(shape: Shape, { target }: Entrant, share: { index: number, of: number }): Task {
  if (shape.kind === 'reconnecting') {
    const { traffic, resume } = shape
    return { kind: 'reconnecting', target, traffic, resume, atOnce: Math.ceil(shape.atOnce / share.of) }
  }
  if (shape.kind !== 'steady') throw new Error(`${shape.kind} has no rate`)
  const { traffic, clients, depth, requestsPerSecond } = shape
  if (requestsPerSecond) return { kind: 'paced', target, traffic, clients, depth, share, requestsPerSecond }
  return { kind: 'steady', target, traffic, clients, depth, share, tellsHalves: scrapesOf(shape) !== undefined }
}

/** A server that is not the contestant, for the scrapes that are not to disturb it. */
async function standInFor({ contestant, metricsUrl }: Entrant): Promise<StandIn> {
  if (!metricsUrl) throw new Error(`${contestant.name} tells no metrics over HTTP`)
  return StandIn.serving(metricsUrl)
}

function scrapesOf(shape: Shape): number | undefined {
  return shape.kind === 'steady' ? shape.scrapesPerSecond : undefined
}

function usefulLoaders(shape: Shape): number {
  if (shape.kind === 'steady') return shape.clients
  return shape.kind === 'reconnecting' ? shape.atOnce : 1
}

interface Readings {
  at: number
  contestant: CpuReading
  store: CpuReading
  loaders: CpuReading
  machine: { busy: number, stolen: number }
}

function readAll(entrant: Entrant, loaders: Loaders): Readings {
  const contestant = entrant.pids.flatMap(processTree)
  const store = entrant.storePid ? processTree(entrant.storePid) : []
  const workers = [...loaders.measuring, loaders.disturbing].map(worker => worker.pid)
  return {
    at: performance.now(),
    machine: readMachineCpu(),
    contestant: readCpu(contestant),
    store: readCpu(store),
    loaders: readCpu(workers),
  }
}

// The windows of the load processes begin and end some milliseconds beside ours. Both are read as rates, so that under
// a steady load the difference falls out.
function rates(entrant: Entrant, before: Readings, after: Readings, windows: LoadWindow[]): Sample {
  const perSecond = (pick: (window: LoadWindow) => number) =>
    windows.reduce((sum, window) => sum + pick(window) / window.seconds, 0)
  const seconds = (after.at - before.at) / 1000
  const requests = perSecond(window => window.requests)
  if (requests === 0) throw new Error('no request was answered in the measured window')
  const contestantCpu = cpuBetween(before.contestant, after.contestant) / seconds
  const storeCpu = cpuBetween(before.store, after.store) / seconds
  const loaderCpu = cpuBetween(before.loaders, after.loaders) / seconds
  const machineCpu = (after.machine.busy - before.machine.busy + after.machine.stolen - before.machine.stolen) / seconds
  const latency = joinLatencies(windows.map(window => window.latency))
  const connections = perSecond(window => window.connections)
  return {
    proxyUs: contestantCpu / requests,
    memcachedUs: before.store.size > 0 ? storeCpu / requests : undefined,
    togetherUs: (contestantCpu + storeCpu) / requests,
    requestsPerSecond: requests,
    p50Us: percentile(latency, 50), p99Us: percentile(latency, 99), p999Us: percentile(latency, 99.9),
    maxUs: latency.maxUs,
    megabytesPerCpuSecond: perSecond(window => window.valueBytes) / contestantCpu,   // B per us is MB per s
    handshakesPerCpuSecond: entrant.target.tls && connections > 0 ? connections / contestantCpu * 1e6 : undefined,
    resumedShare: entrant.target.tls && connections > 0 ? perSecond(window => window.resumed) / connections : undefined,
    loadUs: loaderCpu / requests,
    foreignShare: Math.max(0, machineCpu - contestantCpu - storeCpu - loaderCpu) / (availableParallelism() * 1e6),
  }
}

// Whatever goes wrong, the load must end, or it would run on beside the next contestant's.
async function finishing(workers: LoadWorker[], run: () => Promise<Sample>): Promise<Sample> {
  try {
    return await run()
  } catch (error) {
    await Promise.allSettled(workers.map(worker => worker.finish()))
    throw error
  }
}
