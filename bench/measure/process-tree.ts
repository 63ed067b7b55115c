import { readdirSync, readFileSync } from 'node:fs'

/** One process as /proc/PID/stat tells it. CPU in clock ticks, dead threads and reaped children included. */
export interface ProcessStat {
  pid: number
  parent: number
  name: string
  userTicks: number
  systemTicks: number
  reapedTicks: number
}

/** A process and all that descend from it, the root first. Empty when it is gone. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const pid of allProcesses()) {
    const stat = readStat(pid)
    if (!stat) continue
    const siblings = children.get(stat.parent)
    if (siblings) siblings.push(pid)
    else children.set(stat.parent, [pid])
  }
  if (!readStat(root)) return []
  const tree = [root]
  for (const pid of tree) tree.push(...(children.get(pid) ?? []))
  return tree
}

export function readStat(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return undefined
  }
}

/** @param text one line of /proc/PID/stat.   Source: proc_pid_stat(5), fields 1, 2, 4, 14 to 17 */
export function parseStat(text: string): ProcessStat {
  // The name stands in parentheses and may itself hold spaces and parentheses, so the last one closes it.
  const open = text.indexOf('(')
  const close = text.lastIndexOf(')')
  const fields = text.slice(close + 2).trim().split(' ')
  const field = (number: number) => Number(fields[number - 3])
  return {
    pid: Number(text.slice(0, open)),
    name: text.slice(open + 1, close),
    parent: field(4),
    userTicks: field(14),
    systemTicks: field(15),
    reapedTicks: field(16) + field(17),
  }
}

function allProcesses(): number[] {
  return readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(Number)
}
