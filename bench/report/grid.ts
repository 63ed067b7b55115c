/** Rows of cells as text in columns: the first to the left, the others to the right. */
export function grid(header: string[], rows: string[][]): string[] {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map(row => row[column].length)))
  const line = (row: string[]) => row.map((cell, column) =>
    column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])).join('  ').trimEnd()
  return [line(header), widths.map(width => '-'.repeat(width)).join('  '), ...rows.map(line)]
}

/** The same as a Markdown table. */
export function markdownGrid(header: string[], rows: string[][]): string[] {
  const line = (row: string[]) => `| ${row.join(' | ')} |`
  return [line(header), line(header.map((_, column) => column === 0 ? '---' : '---:')), ...rows.map(line)]
}
