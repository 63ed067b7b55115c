import type { MeasureName } from './measures.ts'

/** A promise of memseal: its figure divided by the peer's (or, without a peer, the figure itself) stays on one side of
 *  the limit. Medians of one run. */
export interface Target {
  workload: string
  measure: MeasureName
  peer?: string
  atMost?: number
  atLeast?: number
  stretch?: number
}

const proxies = ['nginx', 'hitch', 'haproxy']

export const targets: Target[] = [
  ...atMost('pingpong', 'proxyUs', 0.95, proxies),
  ...atMost('pingpong', 'proxyUs', 0.5, ['stunnel']),
  ...atMost('pingpong', 'togetherUs', 0.82, ['nginx'], 0.7),
  ...atLeast('pingpong', 'requestsPerSecond', 1.2, ['nginx'], 1.4),
  ...atMost('many', 'proxyUs', 0.95, proxies),
  ...atMost('many', 'proxyUs', 0.5, ['stunnel']),
  ...atLeast('many', 'requestsPerSecond', 1.1, ['nginx']),
  ...atMost('pipeline', 'proxyUs', 0.9, ['nginx'], 0.7),
  ...atMost('pipeline', 'togetherUs', 0.72, ['nginx'], 0.65),
  ...atMost('pipeline', 'proxyUs', 0.4, ['native']),
  ...atLeast('pipeline', 'requestsPerSecond', 1.2, ['nginx'], 1.45),
  ...['pipeline-meta', 'pipeline-binary'].flatMap(name => [
    ...atMost(name, 'proxyUs', 1.1, ['nginx'], 1),
    ...atLeast(name, 'requestsPerSecond', 1, ['nginx']),
  ]),
  ...atMost('pipeline-100', 'proxyUs', 0.85, ['nginx'], 0.7),
  ...atLeast('pipeline-100', 'requestsPerSecond', 1.4, ['nginx'], 1.6),
  ...atMost('multiget', 'proxyUs', 1.5, ['nginx'], 1.2),
  ...atMost('multiget', 'togetherUs', 1.15, ['nginx']),
  ...atLeast('multiget', 'requestsPerSecond', 1, ['nginx']),
  ...atMost('large-10k', 'proxyUs', 1.2, ['nginx'], 1.05),
  ...atMost('large-100k', 'proxyUs', 1.15, ['nginx'], 0.96),
  ...atMost('large-1m', 'proxyUs', 1.2, ['nginx'], 1.08),
  ...atMost('large-10k', 'proxyUs', 0.7, ['stunnel']),
  ...atMost('large-100k', 'proxyUs', 1, ['stunnel']),
  ...atMost('large-1m', 'proxyUs', 1.1, ['stunnel']),
  ...atMost('handshakes-full', 'proxyUs', 1, ['nginx', 'hitch'], 0.8),
  ...atMost('handshakes-full', 'proxyUs', 0.65, ['stunnel']),
  ...atMost('storm', 'p99Us', 1, ['nginx', 'hitch', 'stunnel']),
  ...atMost('storm', 'maxUs', 1, ['nginx', 'hitch', 'stunnel']),
  { workload: 'storm', measure: 'p99Us', atMost: 15_000, stretch: 8_000 },
  { workload: 'storm', measure: 'maxUs', atMost: 30_000, stretch: 20_000 },
  { workload: 'idle', measure: 'bytesPerConnection', atMost: 55_000, stretch: 50_000 },
  ...atMost('short', 'proxyUs', 1 / 15, ['stunnel'], 1 / 20),
  ...atLeast('short', 'requestsPerSecond', 12, ['stunnel'], 20),
  ...atMost('pair', 'proxyUs', 0.5, ['stunnel', 'haproxy', 'nginx']),
  ...atLeast('pair', 'requestsPerSecond', 1.5, ['stunnel', 'haproxy', 'nginx']),
  { workload: 'admin-scrape', measure: 'scrapedP99Ratio', atMost: 1.05 },
  ...['pingpong', 'many', 'pipeline'].flatMap(name => atMost(name, 'memcachedUs', 1, [...proxies, 'stunnel'])),
]

function atMost(workload: string, measure: MeasureName, limit: number, peers: string[], stretch?: number): Target[] {
  return peers.map(peer => ({ workload, measure, peer, atMost: limit, stretch }))
}

function atLeast(workload: string, measure: MeasureName, limit: number, peers: string[], stretch?: number): Target[] {
  return peers.map(peer => ({ workload, measure, peer, atLeast: limit, stretch }))
}
