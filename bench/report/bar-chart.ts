/** A chart of horizontal bars; each bar is made of one part or two. */
export interface BarChart {
  title: string
  subtitle: string
  /** names of the parts, shown above the bars where there are two */
  parts: string[]
  bars: { label: string, values: number[], shown: string, isOurs: boolean }[]
}

const WIDTH = 760
const LABEL_WIDTH = 190
const VALUE_WIDTH = 110
const BAR_HEIGHT = 22
const GAP = 8
const HEAD = 62

const colours = { ours: ['#1f6feb', '#9cc3f9'], others: ['#6e7781', '#c9d1d9'] }

/** Drawn on a white ground, so that it reads in light and dark pages alike. */
export function barChart(chart: BarChart): string {
  const height = HEAD + chart.bars.length * (BAR_HEIGHT + GAP) + GAP
  const largest = Math.max(...chart.bars.map(bar => sum(bar.values))) || 1
  const scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / largest
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" `
      + `font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="${escape(chart.title)}">`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    `<text x="12" y="24" font-size="16" font-weight="600" fill="#1f2328">${escape(chart.title)}</text>`,
    `<text x="12" y="44" fill="#59636e">${escape(subtitle(chart))}</text>`,
    ...chart.bars.flatMap((bar, row) => drawBar(bar, HEAD + row * (BAR_HEIGHT + GAP), scale)),
    '</svg>', '',
  ].join('\n')
}

function drawBar(bar: BarChart['bars'][number], y: number, scale: number): string[] {
  const colour = bar.isOurs ? colours.ours : colours.others
  const middle = y + BAR_HEIGHT / 2 + 4.5
  let x = LABEL_WIDTH
  const parts = bar.values.map((value, part) => {
    const width = value * scale
    const rect = `<rect x="${round(x)}" y="${y}" width="${round(width)}" height="${BAR_HEIGHT}" fill="${colour[part]}"/>`
    x += width
    return rect
  })
  return [
    `<text x="${LABEL_WIDTH - 10}" y="${middle}" text-anchor="end" fill="#1f2328"${bar.isOurs ? ' font-weight="600"' : ''}>`
      + `${escape(bar.label)}</text>`,
    ...parts,
    `<text x="${round(x + 8)}" y="${middle}" fill="#1f2328">${escape(bar.shown)}</text>`,
  ]
}

function subtitle(chart: BarChart): string {
  return chart.parts.length > 1 ? `${chart.subtitle} (dark: ${chart.parts[0]}, light: ${chart.parts[1]})` : chart.subtitle
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function round(value: number): string {
  return value.toFixed(1)
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
