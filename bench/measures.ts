/** Every figure the bench tells of a contestant under a workload. `better` says which way is good. */
export const measures = {
  proxyUs: { title: 'CPU us/req', unit: 'us', better: 'less', about: 'CPU time of the contestant per request' },
  memcachedUs: { title: 'memcached us', unit: 'us', better: 'less', about: 'CPU time of the memcached behind it per request' },
  togetherUs: { title: 'together us', unit: 'us', better: 'less', about: 'both' },
  requestsPerSecond: { title: 'req/s', unit: '', better: 'more', about: 'requests per second' },
  p50Us: { title: 'p50 ms', unit: 'ms', better: 'less', about: 'latency, median' },
  p99Us: { title: 'p99 ms', unit: 'ms', better: 'less', about: 'latency, 99th percentile' },
  maxUs: { title: 'max ms', unit: 'ms', better: 'less', about: 'longest latency' },
  megabytesPerCpuSecond: { title: 'MB/CPU s', unit: '', better: 'more', about: 'bytes of values per CPU second of the contestant' },
  handshakesPerCpuSecond: { title: 'handshakes/CPU s', unit: '', better: 'more', about: 'handshakes per CPU second of the contestant' },
  resumedShare: { title: 'resumed', unit: '%', better: 'more', about: 'share of connections that resumed a session' },
  stormSeconds: { title: 'storm s', unit: 's', better: 'less', about: 'until all new connections stood' },
  bytesPerConnection: { title: 'KB/connection', unit: 'KB', better: 'less', about: 'private bytes per idle connection' },
  residentMiB: { title: 'RSS MiB', unit: '', better: 'less', about: 'resident memory with these connections' },
  scrapesPerSecond: { title: 'scrapes/s', unit: '', better: 'more', about: 'answers of the admin listener per second' },
  scrapeUs: { title: 'scrape ms', unit: 'ms', better: 'less', about: 'time of such an answer, median' },
  scrapedP99Us: { title: 'scraped p99 ms', unit: 'ms', better: 'less', about: '99th percentile in the halves of seconds in which it is scraped' },
  unscrapedP99Us: { title: 'else p99 ms', unit: 'ms', better: 'less', about: 'in the other halves' },
  scrapedP99Ratio: { title: 'p99 scraped/else', unit: '', better: 'less', about: 'the one divided by the other, slice by slice' },
  loadUs: { title: 'load us', unit: 'us', better: 'less', about: 'CPU time of the load processes per request' },
  othersShare: { title: 'others', unit: '%', better: 'less', about: "the machine's CPU used by what does not take part" },
} as const satisfies Record<string, Measure>

export interface Measure {
  title: string
  unit: 'us' | 'ms' | 's' | 'KB' | '%' | ''
  better: 'less' | 'more'
  about: string
}

export type MeasureName = keyof typeof measures

/** What one contestant did in one slice. A measure that does not apply is left out. */
export type Sample = Partial<Record<MeasureName, number>>

/** A figure as tables show it, without its unit: that stands in the title. */
export function format(name: MeasureName, value: number | undefined): string {
  if (value === undefined) return '-'
  switch (measures[name].unit) {
    case 'ms': return digits(value / 1000)
    case 'KB': return digits(value / 1000)
    case '%': return `${(value * 100).toFixed(0)}%`
    default: return digits(value)
  }
}

/** Three digits that count, none after the point from 100 on. */
export function digits(value: number): string {
  const size = Math.abs(value)
  if (size >= 100) return Math.round(value).toLocaleString('en-US').replaceAll(',', ' ')
  if (size >= 10) return value.toFixed(1)
  return value.toFixed(2)
}
