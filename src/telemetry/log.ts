import { openSync } from 'node:fs'
import pino, { type Logger } from 'pino'

export type { Logger } from 'pino'

// The log: JSON lines with an ISO time and the level by name. Each line has a field `event`. Lines are written in the
// background; what waits is written at exit, or by `flush` before a process ends in another way.

export interface LogSettings { level: string, format: 'json' | 'pretty', file: string }

/** Where lines go; pino's own destination in the daemon, a list in tests. */
export interface LogSink { write(line: string): void }

export interface Log { log: Logger, flush: () => void }

// If nobody takes the lines (a stopped terminal, a full disk), this much is kept, then lines are dropped.
const MOST_WAITING_BYTES = 8 * 1024 * 1024

/** @param sink instead of `settings.file`, for tests   @throws Error when the file cannot be opened */
export function createLogger(settings: LogSettings, sink?: LogSink): Log {
  const file = sink === undefined ? openFile(settings.file) : undefined
  const out: LogSink = sink ?? file!
  const destination = settings.format === 'pretty' ? { write: (line: string) => out.write(readable(line)) } : out
  const log = pino({
    level: settings.level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: label => ({ level: label }) },
  }, destination)
  return { log, flush: () => { if (file !== undefined) flushQuietly(file) } }
}

function openFile(file: string): ReturnType<typeof pino.destination> {
  // Opened here rather than by pino in the background: a path that cannot be written is known at once, and lines of a
  // process that ends at once are not lost. pino itself flushes at exit.
  const fd = file === '-' ? 1 : openSync(file, 'a', 0o640)
  const destination = pino.destination({ dest: fd, sync: false, maxLength: MOST_WAITING_BYTES })
  // A log that fails must not take the proxy down with it.
  destination.on('error', () => {})
  return destination
}

function flushQuietly(destination: ReturnType<typeof pino.destination>): void {
  try {
    destination.flushSync()
  } catch {
    // Standard output is gone, or the disk is full.
  }
}

/** `12:00:01.123 WARN  refused  refused a connection: …  address=10.0.0.1 reason=denied`, for people. */
export function readable(line: string): string {
  const { time, level, event, msg, ...fields } = JSON.parse(line) as Record<string, unknown>
  const at = typeof time === 'string' ? time.slice(11, 23) : ''
  const head = [at, String(level).toUpperCase().padEnd(5), event, msg].filter(part => part !== undefined && part !== '')
  const rest = Object.entries(fields).map(([key, value]) => `${key}=${shown(value)}`)
  return `${head.concat(rest).join(' ')}\n`
}

function shown(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value)
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)
}
