/** Many checked clients at once. One that has left is replaced by another with keys of its own. */
import type { Socket } from 'node:net'
import { prng } from '../support/prng.ts'
import { CheckedClient, type Dialect, type Leaving } from './checker.ts'
import { SharedCounter } from './shared-counter.ts'

export interface CrowdOptions {
  /** Opens a connection to what is tested. */
  open: () => Promise<Socket>
  /** Says something to memcached itself and gives its one-line reply. */
  askMemcached: (line: string) => Promise<string>
  clients: number
  /** It goes on for at least so long, */
  seconds: number
  /** and until this is so, and each dialect has had a hundred requests and each way of leaving was taken: a run shows
   *  something, however slow the machine is. */
  isEnough?: (soFar: CrowdReport) => boolean
  seed: number
  /** Longest wait for the replies of one batch; default two minutes, since the machine may be busy. */
  patienceMs?: number
  /** Which dialects; default all three. */
  dialects?: Dialect[]
  /** Batches of a client before it leaves, at most. */
  batches?: number
}

export interface CrowdReport {
  clients: number
  requests: number
  silent: number
  replies: number
  bytes: number
  left: Record<Leaving, number>
  byDialect: Record<Dialect, number>
  sharedCounter: { expected: string, found: string }
  /** What was wrong, in words. */
  findings: string[]
}

const RUDE_ONE_IN = 5
const orderly: Leaving[] = ['half-close', 'quit']
const rude: Leaving[] = ['mid-request', 'mid-reply']

export async function runCrowd(options: CrowdOptions): Promise<CrowdReport> {
  const { open, askMemcached, seed, dialects = ['text', 'meta', 'binary'], patienceMs = 120_000, isEnough = () => true } = options
  const report: CrowdReport = {
    clients: 0, requests: 0, silent: 0, replies: 0, bytes: 0, left: { 'half-close': 0, quit: 0, 'mid-request': 0, 'mid-reply': 0 },
    byDialect: { text: 0, meta: 0, binary: 0 }, sharedCounter: { expected: '', found: '' }, findings: [],
  }
  const version = (await askMemcached('version')).replace('VERSION ', '')
  const shared = new SharedCounter(`all:${seed}`)
  await askMemcached(`set ${shared.key} 0 0 1\r\n0`)
  const until = Date.now() + options.seconds * 1000
  const ways = [...orderly, ...options.clients >= RUDE_ONE_IN ? rude : []]
  const isVaried = (): boolean => dialects.every(dialect => report.byDialect[dialect] > 100) && ways.every(way => report.left[way] > 0)
  const isOver = (): boolean => (Date.now() >= until && isVaried() && isEnough(report)) || report.findings.length >= 10
  let born = 0

  const slot = async (index: number): Promise<void> => {
    const dialect = dialects[index % dialects.length]
    const isRude = index % RUDE_ONE_IN === RUDE_ONE_IN - 1
    while (!isOver()) {
      const number = ++born
      const random = prng(seed * 1_000_003 + number)
      const leaving = random.pick(isRude ? rude : orderly)
      const client = new CheckedClient(await open(), {
        name: `${seed}.${number}`, dialect, leaving, random, version, patienceMs, shared: isRude ? undefined : shared,
      })
      try {
        await client.talk(random.between(1, isRude ? 6 : options.batches ?? 120), isOver)
        report.left[leaving]++
      } catch (error) {
        report.findings.push((error as Error).message)
      }
      report.clients++
      report.byDialect[dialect] += client.requests
      report.requests += client.requests
      report.silent += client.silent
      report.replies += client.replies.replies
      report.bytes += client.replies.bytes
    }
  }
  await Promise.all(Array.from({ length: options.clients }, (_, index) => slot(index)))
  report.sharedCounter = { expected: String(shared.sum), found: await askMemcached(`incr ${shared.key} 0`) }
  if (report.findings.length === 0 && report.sharedCounter.found !== report.sharedCounter.expected) {
    report.findings.push(`the shared counter is ${report.sharedCounter.found}, not ${report.sharedCounter.expected}`)
  }
  return report
}
