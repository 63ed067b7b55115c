import { absentWithout, askVersion, findProgram, type Contestant } from './contestant.ts'

/** hitch. It verifies client certificates since 1.7 and turns no-delay on by itself. It cannot present a client
 *  certificate, so there is no sidecar of it. */
export const hitch: Contestant = {
  name: 'hitch',
  title: 'hitch',
  debian: 'hitch',
  absent: () => absentWithout('hitch') ?? tooOld(),
  version: () => askVersion(['hitch', '-V'], /hitch (\S+)/),
  server: ({ port, memcachedPort, material, directory }) => ({
    command: [findProgram('hitch') ?? 'hitch', `--config=${directory}/hitch.conf`],
    files: {
      'hitch.conf': `frontend = "[127.0.0.1]:${port}"
backend = "[127.0.0.1]:${memcachedPort}"
pem-file = "${material.serverPem}"
client-verify = required
client-verify-ca = "${material.ca}"
tls-protos = TLSv1.2 TLSv1.3
workers = 1
backlog = 4096
daemon = off
user = "nobody"
log-level = 0
`,
    },
  }),
}

function tooOld(): string | undefined {
  const [major, minor] = hitch.version().split('.').map(Number)
  return major > 1 || (major === 1 && minor >= 7) ? undefined : 'hitch before 1.7 verifies no client certificates'
}
