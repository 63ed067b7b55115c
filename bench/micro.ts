// `npm run bench:micro`: the framers alone, in nanoseconds per request. `-- text` runs the cases whose name holds "text".
import { cases } from './micro/cases.ts'
import { timeCase } from './micro/stopwatch.ts'
import { grid } from './report/grid.ts'

const wanted = process.argv[2] ?? ''
const chosen = cases.filter(each => each.name.includes(wanted))

// All are warmed before any is timed: a function that has met one shape only is faster than it will ever be in the daemon.
for (const each of chosen) timeCase(each, { rounds: 1, roundMs: 100 })

const rows = chosen.map(each => {
  const { median, low, high } = timeCase(each, { rounds: 9, roundMs: 40 })
  return [each.name, median.toFixed(0), `${low.toFixed(0)}..${high.toFixed(0)}`]
})
console.log(grid(['', 'ns/request', 'quartiles'], rows).join('\n'))
