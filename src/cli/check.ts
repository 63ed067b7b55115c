import { entryPath } from '../config/endpoint.ts'
import { resolveGroups } from '../config/groups.ts'
import { hasFault, issueFields } from '../config/issue.ts'
import type { Loaded } from '../config/load.ts'
import { exitStatuses } from '../errors.ts'
import { listenDoubts } from '../lib/listen-doubts.ts'
import { whyNoAccount } from '../lib/socket-permissions.ts'
import { reportPassword } from '../process/backend-login.ts'
import { checkSomebodyComes, readAddressFiles } from '../process/service-addresses.ts'
import { buildBackend, buildListeners, reportFiles } from '../process/service-tls.ts'
import { logFileFault } from '../telemetry/log-file.ts'
import { chooseConfiguration, noConfiguration, printIssues } from './configuration.ts'
import type { Terminal } from './terminal.ts'

/** `memseal check`: what `run` would refuse, and what the certificates and keys say of themselves. */
export async function check(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const chosen = chooseConfiguration(flags, terminal.environment)
  if (chosen === undefined) {
    if (flags['json'] === true) terminal.out(`${JSON.stringify({ error: noConfiguration.trim() })}\n`)
    else terminal.err(noConfiguration)
    return exitStatuses.configuration.status
  }
  const { loaded, file } = chosen
  await checkServices(loaded)
  checkListeners(loaded)
  const fault = loaded.isSound('log.file') ? logFileFault(loaded.log!.file) : undefined
  if (fault !== undefined) loaded.report('fault', 'log.file', fault.message, fault.fix)
  const audit = loaded.audit !== undefined && loaded.isSound('audit.file') ? logFileFault(loaded.audit.file, 'opened for the audit') : undefined
  if (audit !== undefined) loaded.report('fault', 'audit.file', audit.message, audit.fix)
  const isFine = !hasFault(loaded.issues)
  if (flags['json'] === true) terminal.out(`${JSON.stringify({ configuration: file ?? null, isFine, issues: loaded.issues.map(issueFields) })}\n`)
  else printIssues(loaded, terminal)
  if (!isFine) return exitStatuses.configuration.status
  if (flags['json'] !== true) terminal.out(`${file ?? 'The configuration'} is fine.\n`)
  return exitStatuses.fine.status
}

/** What is itself in doubt is not built, but its files are looked at; so all faults show at once. */
async function checkServices({ config, services, isSound, report }: Loaded): Promise<void> {
  const resolved = config && resolveGroups(config).services
  for (const [name, service] of Object.entries(services)) {
    const path = `services.${name}`
    const soundOf = (section: string, files: Parameters<typeof reportFiles>[1]): typeof files =>
      Object.fromEntries(Object.entries(files).filter(([key, file]) => file !== undefined && isSound(`${path}.${section}.${key}`)))
    if (service?.tls !== undefined) {
      const { cert, key, client_ca, crl } = service.tls
      // Where to listen may be in doubt, or lack an `allow`: the files are the same.
      const listen = service.listen.filter(endpoint => endpoint !== undefined)
      if (isSound(`${path}.tls`)) await buildListeners(name, { ...service, listen: listen.length === 0 ? [anywhere] : listen }, report)
      else reportFiles(`${path}.tls`, soundOf('tls', { cert, key, client_ca, crl }), 'listener', report)
    }
    const lists = (['allow_file', 'deny_file'] as const).filter(key => isSound(`${path}.${key}`)).map(key => [key, service?.[key]])
    const files = await readAddressFiles(name, Object.fromEntries(lists), report)
    if (resolved !== undefined) checkSomebodyComes(name, resolved[name], files, report)
    if (service?.backend?.tls !== undefined) {
      const { ca, cert, key } = service.backend.tls
      if (isSound(`${path}.backend.tls`)) await buildBackend(name, service, report)
      else reportFiles(`${path}.backend.tls`, soundOf('backend.tls', { ca, cert, key }), 'backend', report)
    }
    const password = service?.backend?.auth?.password_file
    if (password !== undefined && isSound(`${path}.backend.auth.password_file`)) reportPassword(name, password, report)
  }
}

const anywhere = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const

/** A listener of the admin interface that cannot be opened stops nobody: the daemon goes on and tries again. */
function checkListeners({ services, admin, report }: Loaded): void {
  for (const [name, service] of Object.entries(services)) {
    const path = `services.${name}`
    const listen = service?.listen ?? []
    listen.forEach((endpoint, at) => {
      const doubts = endpoint === undefined ? [] : listenDoubts(endpoint)
      for (const { severity, message, fix } of doubts) report(severity, entryPath(`${path}.listen`, listen, at), message, fix)
    })
    const { owner, group } = listen.some(endpoint => endpoint?.kind === 'unix') ? service.socket ?? {} : {}
    for (const [key, account] of [['owner', owner], ['group', group]] as const) {
      const why = account === undefined ? undefined : whyNoAccount(key, account)
      if (why === undefined) continue
      report('fault', `${path}.socket.${key}`, why, `Write another ${key}, or its number (getent ${key === 'owner' ? 'passwd' : 'group'} ${account}).`)
    }
  }
  const asked = admin?.listen ?? []
  asked.forEach((endpoint, at) => {
    const doubts = endpoint === undefined ? [] : listenDoubts(endpoint)
    for (const { message, fix } of doubts) report('warning', entryPath('admin.listen', asked, at), message, fix)
  })
}
