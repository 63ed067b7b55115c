import { askVersion, findProgram, MAX_CONNECTIONS, type Contestant } from './contestant.ts'

/** memcached itself without TLS: the floor, and the store behind every proxy.   @param program name or path */
export function memcachedAt(program: string): Contestant {
  return {
    name: 'memcached',
    title: 'memcached, no TLS',
    isPlain: true,
    isStore: true,
    debian: 'memcached',
    absent: () => findProgram(program) ? undefined : `${program} is not there`,
    version: () => askVersion([program, '-V'], /memcached (\S+)/),
    server: site => ({ command: memcachedCommand(program, site.memcachedPort), files: {} }),
  }
}

/** One thread, as every contestant has; items of 1 MiB need a larger item limit than the default. */
export function memcachedCommand(program: string, port: number): string[] {
  return [
    findProgram(program) ?? program, '-u', 'nobody', '-l', '127.0.0.1', '-p', String(port), '-U', '0',
    '-t', '1', '-m', '1024', '-I', '2m', '-c', String(MAX_CONNECTIONS),
  ]
}
