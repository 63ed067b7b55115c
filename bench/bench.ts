// The benchmark of record: memseal beside plain memcached and every TLS proxy found on this machine, in one run.
//
//   field.ts      starts memcached and the contestants (contestants/), each set up alike
//   workloads.ts  what they are asked, and of whom     targets.ts  what memseal promises
//   run.ts        starts of all processes; each plays all workloads
//   rounds.ts     contestants take slices in turns, and which slices are kept
//   bouts/        one contestant under one workload: load processes (load/) ask, /proc tells the cost (measure/)
//   results.ts    medians and quartiles of the slices, and of ratios slice by slice
//   report/       tables, JSON, RESULTS.md, charts, the README's table
import { writeFileSync } from 'node:fs'
import { installPeers } from './contestants/install.ts'
import { HELP, readOptions, UsageError, type Options } from './options.ts'
import { readAllResults, writeJson, writePages } from './report/files.ts'
import { terminalReport } from './report/terminal.ts'
import { runBench } from './run.ts'
import { showConfigs } from './show-configs.ts'
import { workloads } from './workloads.ts'

try {
  process.exitCode = await main(readOptions(process.argv.slice(2)))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  console.error(`${error.message}\n\n${HELP}`)
  process.exitCode = 2
}

async function main(options: Options): Promise<number> {
  switch (options.action) {
    case 'help':
      console.log(HELP)
      return 0
    case 'list':
      for (const { name, about } of workloads) console.log(`${name.padEnd(18)} ${about}`)
      for (const each of options.contestants) console.log(`${each.name.padEnd(18)} ${each.absent() ?? `${each.title} ${each.version()}`}`)
      return 0
    case 'install': return installPeers(options.contestants)
    case 'show-configs':
      console.log(showConfigs(options.contestants))
      return 0
    case 'report':
      console.log(writePages(readAllResults()).join('\n'))
      return 0
    case 'run': return run(options)
    default: return options.action satisfies never
  }
}

async function run(options: Options): Promise<number> {
  const startedAt = performance.now()
  const results = await runBench(options, line => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
    console.error(`${seconds.padStart(5)} s  ${line}`)
  })
  console.log(terminalReport(results))
  if (options.saveFile) writeFileSync(options.saveFile, JSON.stringify(results))
  if (options.isRecord) console.log(`\n${writeJson(results)}\n${writePages(readAllResults()).join('\n')}`)
  return 0
}
