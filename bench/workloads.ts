import type { Traffic } from './load/script.ts'
import type { MeasureName } from './measures.ts'

/** What is asked of every contestant. The table below is the whole list. */
export interface Workload {
  name: string
  about: string
  shape: Shape
  measures: MeasureName[]
  /** the figure by which contestants are judged */
  judge: MeasureName
  /** through a sidecar and a server of the same kind */
  isPair?: boolean
  /** who takes part beside memseal in each round, unless others are asked for */
  peers: string[]
  /** who does in every third round */
  seldom?: string[]
  /** part of --quick */
  isEssential?: boolean
  /** only in the first start of a run, with the rounds of all of them: what it needs is slow to set up */
  isPlayedOnce?: boolean
  /** rounds in each start, at most; left out: as many as the run has */
  mostRounds?: number
  /** length of its slices in milliseconds; left out: as the run has it */
  sliceMs?: number
}

export type Shape =
  | { kind: 'steady', traffic: Traffic, clients: number, depth: number, requestsPerSecond?: number, scrapesPerSecond?: number }
  | { kind: 'reconnecting', traffic: Traffic, atOnce: number, resume: boolean }
  | { kind: 'storm', traffic: Traffic, established: number, requestsPerSecond: number, newcomers: number }
  | { kind: 'idle', connections: number }

const small: Traffic = { dialect: 'text', keys: 10_000, valueBytes: 100, sets: 0.1, hits: 1, keysPerGet: 1 }
const many: Traffic = { ...small, sets: 0, keysPerGet: 100 }

const perRequest: MeasureName[] = [
  'proxyUs', 'memcachedUs', 'togetherUs', 'requestsPerSecond', 'p50Us', 'p99Us', 'loadUs', 'othersShare',
]
const perByte: MeasureName[] = [
  'proxyUs', 'memcachedUs', 'togetherUs', 'megabytesPerCpuSecond', 'requestsPerSecond', 'p50Us', 'p99Us', 'loadUs', 'othersShare',
]
const perHandshake: MeasureName[] = [
  'proxyUs', 'handshakesPerCpuSecond', 'requestsPerSecond', 'p50Us', 'p99Us', 'resumedShare', 'othersShare',
]

// Ratios to nginx are what runs are compared by, so nginx has as many slices as memseal.
const peers = ['nginx']
const all = ['memcached', 'native', 'hitch', 'haproxy', 'stunnel', 'ghostunnel']
const few = ['haproxy']

export const workloads: Workload[] = [
  {
    name: 'pingpong', about: '50 clients, 1 request in flight each, 100 B values, 10 % sets',
    shape: { kind: 'steady', traffic: small, clients: 50, depth: 1 },
    measures: perRequest, judge: 'proxyUs', peers, seldom: all, isEssential: true,
  },
  {
    name: 'many', about: '500 clients, 1 in flight, 100 B, 10 % sets',
    shape: { kind: 'steady', traffic: small, clients: 500, depth: 1 },
    measures: perRequest, judge: 'proxyUs', peers, seldom: ['hitch', 'haproxy', 'stunnel'], isPlayedOnce: true,
  },
  {
    name: 'lonely', about: '1 client, 1 in flight, 100 B, 10 % sets',
    shape: { kind: 'steady', traffic: small, clients: 1, depth: 1 },
    measures: perRequest, judge: 'p50Us', peers, seldom: few, isPlayedOnce: true,
  },
  { ...pipeline('pipeline', 'text', 16), seldom: all, isEssential: true },
  { ...pipeline('pipeline-meta', 'meta', 16), isEssential: true },
  pipeline('pipeline-binary', 'binary', 16),
  { ...pipeline('pipeline-100', 'text', 100), isPlayedOnce: true },
  {
    name: 'multiget', about: '50 clients, 1 in flight, gets of 100 keys, 100 B each, all hits',
    shape: { kind: 'steady', traffic: many, clients: 50, depth: 1 },
    measures: perByte, judge: 'proxyUs', peers, seldom: few, isEssential: true,
  },
  { ...large('large-10k', 10_000, 1000, 50), isPlayedOnce: true },
  { ...large('large-100k', 100_000, 100, 20), seldom: all, isEssential: true },
  large('large-1m', 2 ** 20, 16, 10),
  {
    name: 'handshakes-full', about: 'connect, full mutual TLS handshake, one get, close; 8 at a time',
    shape: { kind: 'reconnecting', traffic: { ...small, sets: 0 }, atOnce: 8, resume: false },
    measures: perHandshake, judge: 'proxyUs', peers, seldom: all.filter(name => name !== 'memcached'), isEssential: true,
  },
  {
    name: 'handshakes-resumed', about: 'the same with the tickets of earlier connections, each used once',
    shape: { kind: 'reconnecting', traffic: { ...small, sets: 0 }, atOnce: 8, resume: true },
    measures: perHandshake, judge: 'proxyUs', peers, seldom: few, isPlayedOnce: true,
  },
  {
    name: 'storm', about: '50 established clients (2 000 req/s, open loop) while 500 new ones connect at once',
    shape: { kind: 'storm', traffic: small, established: 50, requestsPerSecond: 2000, newcomers: 500 },
    measures: ['p50Us', 'p99Us', 'maxUs', 'stormSeconds', 'othersShare'], judge: 'p99Us',
    peers, seldom: few, mostRounds: 4,
  },
  {
    name: 'idle', about: '1 000 connections that say nothing, in a fresh process',
    shape: { kind: 'idle', connections: 1000 },
    measures: ['bytesPerConnection', 'residentMiB'], judge: 'bytesPerConnection', peers: [...peers, ...all], isPlayedOnce: true, mostRounds: 1,
  },
  {
    name: 'short', about: 'a new plain connection per get, through sidecar, TLS and server; 16 at a time',
    shape: { kind: 'reconnecting', traffic: { ...small, sets: 0 }, atOnce: 16, resume: false },
    measures: ['proxyUs', 'memcachedUs', 'togetherUs', 'requestsPerSecond', 'p50Us', 'p99Us', 'othersShare'],
    judge: 'requestsPerSecond', isPair: true, peers: ['stunnel'],
  },
  {
    name: 'pair', about: '50 plain clients, 1 in flight, through sidecar, TLS and server; 100 B, 10 % sets',
    shape: { kind: 'steady', traffic: small, clients: 50, depth: 1 },
    measures: perRequest, judge: 'proxyUs', isPair: true, peers, seldom: ['haproxy', 'stunnel'],
  },
  {
    name: 'admin-scrape',
    about: 'pingpong while autocannon scrapes the metrics 10 times in the first half of each second, and in the second half another server',
    shape: { kind: 'steady', traffic: small, clients: 50, depth: 1, scrapesPerSecond: 10 },
    measures: [...perRequest, 'scrapesPerSecond', 'scrapeUs', 'scrapedP99Us', 'unscrapedP99Us', 'scrapedP99Ratio'],
    judge: 'scrapedP99Ratio', peers: [], sliceMs: 1000, mostRounds: 4,
  },
]

function pipeline(name: string, dialect: Traffic['dialect'], depth: number): Workload {
  return {
    name, about: `50 clients, ${depth} in flight, 100 B, 10 % sets, ${dialect} protocol`,
    shape: { kind: 'steady', traffic: { ...small, dialect }, clients: 50, depth },
    measures: perRequest, judge: 'proxyUs', peers, seldom: few,
  }
}

function large(name: string, valueBytes: number, keys: number, clients: number): Workload {
  return {
    name, about: `${clients} clients, 1 get in flight, values of ${valueBytes} B, all hits`,
    shape: { kind: 'steady', traffic: { ...small, valueBytes, keys, sets: 0 }, clients, depth: 1 },
    measures: perByte, judge: 'proxyUs', peers, seldom: [...few, 'stunnel'],
  }
}
