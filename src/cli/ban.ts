import { parseCidr } from '../config/address-kinds.ts'
import { Problem } from '../config/problem.ts'
import { parseDuration } from '../config/units.ts'
import { exitStatuses } from '../errors.ts'
import { counted } from '../lib/counted.ts'
import { asking, tellError } from './admin-client.ts'
import { age, columns } from './table.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

interface BanNow { who: string, why: string, ageSeconds: number, secondsLeft: number }

const DAY_MS = 86_400_000
const LONGEST_MS = 365 * DAY_MS

/** `memseal ban list`: who is shut out now. */
export function banList(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  return asking('ban list', flags, terminal, async client => {
    const { body, value: { bans } } = await client.askFor<{ bans: BanNow[] }>('GET', '/bans')
    terminal.out(flags['json'] === true ? body : bans.length === 0 ? 'Nobody is banned.\n'
      : columns(['banned', 'since', 'left', 'why'], bans.map(({ who, why, ageSeconds, secondsLeft }) => [who, age(ageSeconds), age(secondsLeft), why])))
    return exitStatuses.fine.status
  })
}

/** `memseal ban add ADDRESS`: shuts out at once whoever comes from there. */
export function banAdd(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const range = rangeOf(flags)
  const text = flags['for'] as string | undefined
  const ms = text === undefined ? undefined : parseDuration(text)
  if (text !== undefined && (ms === undefined || ms < 1_000 || ms > LONGEST_MS)) {
    throw new UsageError(`"${text}" is not a time for a ban.\nWrite a number and a unit (s, m, h, d), 1s to 365d, such as --for 10m.`)
  }
  return asking('ban add', flags, terminal, async client => {
    const query = new URLSearchParams({ who: range, ...ms === undefined ? {} : { for: String(ms) } })
    const { body, value } = await client.askFor<BanNow & { error?: string }>('POST', `/ban?${query}`, [200, 409])
    if (value.error !== undefined) {
      tellError('ban add', `${value.error}.\nRemove some, or ban a range that holds several; memseal ban list lists them.`, flags, terminal)
      return exitStatuses.failed.status
    }
    terminal.out(flags['json'] === true ? body : `${value.who} is banned for ${age(value.secondsLeft)}, and its connections are ended.\n`)
    return exitStatuses.fine.status
  })
}

/** `memseal ban remove ADDRESS`: lets in again whoever comes from there, as far as the rules do. */
export function banRemove(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const range = rangeOf(flags)
  return asking('ban remove', flags, terminal, async client => {
    const { body, value: { lifted, heldBy } } = await client.askFor<{ lifted: string[], heldBy?: string }>('POST', `/unban?${new URLSearchParams({ who: range })}`, [200, 404])
    if (lifted.length === 0 || heldBy !== undefined) {
      const what = lifted.length === 0 ? `${range} is not banned by itself` : `${range} was banned by itself as well, which is lifted`
      tellError('ban remove', heldBy === undefined ? `${range} is not banned.\nmemseal ban list lists who is.`
        : `${what}, and it lies within ${heldBy}, which is.\nRemove ${heldBy}, and ban the rest of it anew if need be.`, flags, terminal)
      return exitStatuses.failed.status
    }
    terminal.out(flags['json'] === true ? body : `No longer banned: ${lifted.length > 10 ? counted(lifted.length, 'client') : lifted.join(', ')}.\n`)
    return exitStatuses.fine.status
  })
}

function rangeOf(flags: Record<string, unknown>): string {
  const range = parseCidr(flags['operand'] as string)
  if (range instanceof Problem) throw new UsageError(`${range.message}\n${range.fix}`)
  return range.replace(/^([\d.]+)\/32$|^([^/]*:[^/]*)\/128$/, '$1$2')
}
