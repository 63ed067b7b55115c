import { printableText } from '../lib/printable.ts'

// What stands in a cell may have been written by strangers (a certificate's name, say): nothing there moves the cursor.

/** Lines of columns, as wide as their widest cell; numbers to the right. */
export function columns(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows.map(row => row.map(printableText))]
  const widths = head.map((_, at) => Math.max(...all.map(row => row[at].length)))
  const isNumber = head.map((_, at) => rows.length > 0 && rows.every(row => /^[\d,.]*( ?[%a-zA-Z]{1,3})?$/.test(row[at])))
  return all.map(row => row.map((cell, at) => isNumber[at] ? cell.padStart(widths[at]) : cell.padEnd(widths[at])).join('  ').trimEnd() + '\n').join('')
}

/** Lines of a name and what there is to say of it. */
export function facts(rows: readonly (readonly [name: string, text: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, text]) => `  ${name.padEnd(width)}  ${printableText(text)}\n`).join('')
}

/** `1,234`. */
export function number(value: number): string {
  return value.toLocaleString('en-US')
}

/** `1.5 MiB`. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let at = 0
  for (; value >= 1024 && at < units.length - 1; at++) value /= 1024
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at]}`
}

/** `3d 4h`, `5m 10s`, `7s`: the two largest units. */
export function age(seconds: number): string {
  const parts = ([['d', 86_400], ['h', 3_600], ['m', 60], ['s', 1]] as const).map(([unit, size]) => {
    const count = Math.floor(seconds / size)
    seconds -= count * size
    return { count, text: `${count}${unit}` }
  })
  const first = parts.findIndex(({ count }) => count > 0)
  return first === -1 ? '0s' : parts.slice(first, first + 2).filter(({ count }) => count > 0).map(({ text }) => text).join(' ')
}
