import pino from 'pino'
import { printableLines, printableText } from '../lib/printable.ts'
import { EventLog } from './event-log.ts'
import { LogFile } from './log-file.ts'

// The log: JSON lines with an ISO time and the level by name. Each line has a field `event`. Lines are written in the
// background (log-file.ts); what waits is written at exit, or by `flush` before a process ends in another way.

export interface LogSettings { level: string, format: 'json' | 'pretty', file: string }

/** Where lines go; a file or a stream in the daemon, a list in tests. */
export interface LogSink { write(line: string): void }

export interface Log {
  log: EventLog
  flush(): Promise<void>
  /** Goes on in the file that has the name of `log.file` now. @returns false when there is none   @throws LogFileError;
   *  then the old one goes on */
  reopen(): Promise<boolean>
}

/** How soon a folder that is made late or a disk that has room again is noticed. */
const RETRY_MS = 5_000

/** A file that cannot be opened is told, on standard output, and tried again.
 *  @param sink instead of `settings.file`, for tests   @param now milliseconds, by which events are folded */
export function createLogger(settings: LogSettings, sink?: LogSink, now?: () => number): Log {
  const file = sink === undefined ? new LogFile(settings.file) : undefined
  const out = sink ?? file!
  const log = new EventLog(pino({
    level: settings.level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: label => ({ level: label }) },
  }, { write: (line: string) => out.write(settings.format === 'pretty' ? readable(line) : printableLines(line)) }), now)
  if (file?.fault !== undefined) tryAgain(file, log)
  return { log, flush: async () => await file?.flush(), reopen: async () => await file?.reopen() ?? false }
}

function tryAgain(file: LogFile, log: EventLog): void {
  const { message, fix } = file.fault!
  log.tell('log-file-unavailable', {}, `${message} ${fix} Until then the log goes to standard output.`)
  const again = setInterval(() => {
    // By order (SIGUSR1, reload) it may have been opened meanwhile.
    if (file.fault === undefined) return clearInterval(again)
    file.reopen().then(() => log.tell('log-reopened', { cause: 'retry' }, 'the log goes on here'), () => {})
  }, RETRY_MS).unref()
}

/** `12:00:01.123 WARN  refused a connection: …  address=10.0.0.1 reason=denied`, for people: what the message says
 *  already is not said again, and what came from a client moves no cursor. */
export function readable(line: string): string {
  const { time, level, event, msg, ...fields } = JSON.parse(line) as Record<string, unknown>
  const at = typeof time === 'string' ? time.slice(11, 23) : ''
  const words = typeof msg === 'string' ? msg : ''
  const name = typeof event === 'string' && words.startsWith(event.replaceAll('-', ' ')) ? '' : event
  const head = [at, String(level).toUpperCase().padEnd(5), name, words].filter(part => part !== undefined && part !== '')
  const rest = Object.entries(fields).filter(([, value]) => !isIn(words, value)).map(([key, value]) => `${key}=${shown(value)}`)
  return `${printableText(head.concat(rest).join(' '))}\n`
}

/** Sentences and places only: a plain word (a service's name, say) may stand in the message by chance. */
function isIn(words: string, value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0 && value.every(each => isIn(words, each))
  return typeof value === 'string' && /[\s:/]/.test(value) && words.includes(value)
}

function shown(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value)
  return /^[^\s"=\p{C}]+$/u.test(value) ? value : JSON.stringify(value)
}
