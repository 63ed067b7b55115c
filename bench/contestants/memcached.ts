import { absentWithout, askVersion, findProgram, MAX_CONNECTIONS, type Contestant } from './contestant.ts'

/** memcached itself without TLS: the floor, and the store behind every proxy. */
export const memcached: Contestant = {
  name: 'memcached',
  title: 'memcached, no TLS',
  isPlain: true,
  isStore: true,
  debian: 'memcached',
  absent: () => absentWithout('memcached'),
  version: () => askVersion(['memcached', '-V'], /memcached (\S+)/),
  server: site => ({ command: memcachedCommand(site.memcachedPort), files: {} }),
}

/** One thread, as every contestant has; items of 1 MiB need a larger item limit than the default. */
export function memcachedCommand(port: number): string[] {
  return [
    findProgram('memcached') ?? 'memcached', '-u', 'nobody', '-l', '127.0.0.1', '-p', String(port), '-U', '0',
    '-t', '1', '-m', '1024', '-I', '2m', '-c', String(MAX_CONNECTIONS),
  ]
}
