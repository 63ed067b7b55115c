import { materialIn } from './certificates.ts'
import type { Contestant, Plan } from './contestants/contestant.ts'

/** How every contestant is started, with ports and folders of an example. */
export function showConfigs(contestants: Contestant[]): string {
  const material = materialIn('/bench')
  return contestants.flatMap(contestant => {
    const absent = contestant.absent()
    const server = contestant.server({
      port: 11212, memcachedPort: 11211, adminPort: 11213, material, directory: `/bench/${contestant.name}`,
    })
    const sidecar = contestant.sidecar?.({
      port: 11311, serverPort: 11212, material, directory: `/bench/${contestant.name}-sidecar`,
    })
    return [
      `# ${contestant.title}${absent ? ` (${absent})` : ` ${contestant.version()}`}`, ...showPlan(server),
      ...(sidecar ? ['## as a sidecar', ...showPlan(sidecar)] : []),
    ]
  }).join('\n')
}

function showPlan(plan: Plan): string[] {
  return [
    `$ ${plan.command.join(' ')}`,
    ...Object.entries(plan.files).flatMap(([name, text]) => [`--- ${name}`, text.trimEnd()]), '',
  ]
}
