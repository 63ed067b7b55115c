/** `npm run soak`: a minute of clients that check every byte, on one shared lane and on three, then the framers under a
 *  million mutilated streams, then rules under a million conversations that try to get past them. Exits with 1 when anything was wrong.
 *
 *  MEMSEAL_SOAK_SECONDS, MEMSEAL_SOAK_CASES, MEMSEAL_SOAK_SEED change how long, how many and which. */
import { runCrowd, type CrowdReport } from './crowd.ts'
import { fuzzFramers } from './framers.ts'
import { fuzzRules } from './rules.ts'
import { startMemcached } from '../support/memcached.ts'
import { startScene, statOf } from './scene.ts'

const seconds = Number(process.env.MEMSEAL_SOAK_SECONDS ?? 60)
const cases = Number(process.env.MEMSEAL_SOAK_CASES ?? 1_000_000)
const seed = Number(process.env.MEMSEAL_SOAK_SEED ?? Date.now() % 1_000_000)
const clients = 200
let faults = 0

console.log(`seed ${seed}`)
for (const lanes of [1, 3]) await soak(lanes)
console.log(`framers: ${cases} cases`)
fuzzFramers(cases, seed)
console.log('framers: no crash, no hang, no byte read twice or too far')
console.log(`rules: ${cases} conversations`)
const guarded = await startMemcached({ args: ['-t', '1', '-A', '-m', '256'] })
const { conversations, answered, refused } = await fuzzRules(guarded.port, cases, seed)
console.log(`rules: nothing forbidden came to memcached in ${conversations} conversations, ${answered} of them answered, ${refused} refused something`)
await guarded.stop()
process.exitCode = faults === 0 ? 0 : 1

async function soak(connections: number): Promise<void> {
  console.log(`${clients} clients, mutual TLS, ${connections} shared connections, ${seconds / 2} s`)
  // Some values are large. With one place for a reader of those, all others of them go on sharing.
  const scene = await startScene({ connections, limits: { private_connections: 1 } })
  const report = await runCrowd({ ...scene, clients, seconds: seconds / 2, seed: seed + connections })
  const evictions = await statOf(scene.memcached.port, 'evictions')
  if (evictions > 0) report.findings.push(`memcached evicted ${evictions} items, so this run shows nothing`)
  const departures = scene.daemon.logs('closed')
  const notShared = departures.filter(line => line.isPrivate === true).length
  if (notShared > departures.length / 4) report.findings.push(`${notShared} of ${departures.length} clients were moved to private connections`)
  const lost = scene.daemon.logs('backend-lost').length
  if (lost > 0) report.findings.push(`${lost} shared connections were lost`)
  const status = await scene.daemon.stop()
  if (status !== 0) report.findings.push(`memseal ended with status ${status}`)
  await scene.memcached.stop()
  tell(report)
}

function tell(report: CrowdReport): void {
  const { left, byDialect } = report
  console.log(`  ${report.requests} requests (text ${byDialect.text}, meta ${byDialect.meta}, binary ${byDialect.binary}), ` +
    `${report.silent} of them to stay unanswered`)
  console.log(`  ${report.replies} replies, ${Math.round(report.bytes / 1e6)} MB compared byte for byte`)
  console.log(`  ${report.clients} clients left: ${left.quit} by quit, ${left['half-close']} by half-close, ` +
    `${left['mid-request']} in the middle of a request, ${left['mid-reply']} in the middle of a reply`)
  console.log(`  shared counter ${report.sharedCounter.found}, expected ${report.sharedCounter.expected}`)
  console.log(`  wrong: ${report.findings.length}`)
  for (const finding of report.findings) console.log(`    ${finding}`)
  faults += report.findings.length
}
