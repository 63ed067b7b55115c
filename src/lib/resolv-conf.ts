import { hostname } from 'node:os'

/** What /etc/resolv.conf says beside the servers, which the resolver reads itself. What it does not say is as glibc has it. */
export interface ResolvConf {
  search: readonly string[]
  /** A name with so many dots is asked as it is before anything is put behind it. */
  ndots: number
  /** How long a server may take, and how often it is asked. */
  timeoutMs: number
  attempts: number
}

const options = { ndots: { default: 1, max: 15 }, timeout: { default: 5, max: 30 }, attempts: { default: 2, max: 5 } }

/** @param host name of this host; what is behind its first dot is searched when the file names no domain */
export function parseResolvConf(text: string, host = hostname()): ResolvConf {
  let search = host.includes('.') ? [host.slice(host.indexOf('.') + 1)] : []
  const said = { ndots: options.ndots.default, timeout: options.timeout.default, attempts: options.attempts.default }
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.replace(/[#;].*/, '').trim().split(/\s+/)
    if (keyword === 'search' || keyword === 'domain') search = keyword === 'domain' ? values.slice(0, 1) : values
    if (keyword !== 'options') continue
    for (const value of values) {
      const [, name, number] = /^(ndots|timeout|attempts):(\d+)$/.exec(value) as [string, keyof typeof options, string] | null ?? []
      if (name !== undefined) said[name] = Math.min(Number(number), options[name].max)
    }
  }
  return {
    search: search.map(domain => domain.replace(/\.$/, '')).filter(domain => domain !== ''), ndots: said.ndots,
    timeoutMs: Math.max(said.timeout, 1) * 1000, attempts: Math.max(said.attempts, 1),
  }
}

/** The names to ask for, in this order, until one is known: `cache` in a pod is `cache.NAMESPACE.svc.cluster.local` first. */
export function candidates(name: string, { search, ndots }: Pick<ResolvConf, 'search' | 'ndots'>): string[] {
  if (name.endsWith('.')) return [name.slice(0, -1)]
  const searched = search.map(domain => `${name}.${domain}`)
  return name.split('.').length - 1 >= ndots ? [name, ...searched] : [...searched, name]
}
