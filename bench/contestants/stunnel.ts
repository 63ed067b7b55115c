import { absentWithout, askVersion, findProgram, type Contestant } from './contestant.ts'

const PROGRAM = findProgram('stunnel4') ? 'stunnel4' : 'stunnel'

/** stunnel: one process with a thread per connection; it has no other way to run but one process per connection. */
export const stunnel: Contestant = {
  name: 'stunnel',
  title: 'stunnel',
  debian: 'stunnel4',
  absent: () => absentWithout(PROGRAM),
  version: () => askVersion([PROGRAM, '-version'], /stunnel (\S+) on/),
  server: ({ port, memcachedPort, material, directory }) => plan(directory, `accept = 127.0.0.1:${port}
connect = 127.0.0.1:${memcachedPort}
cert = ${material.serverCert}
key = ${material.serverKey}
CAfile = ${material.ca}
verifyChain = yes
requireCert = yes
sslVersionMin = TLSv1.2`),
  sidecar: ({ port, serverPort, material, directory }) => plan(directory, `client = yes
accept = 127.0.0.1:${port}
connect = 127.0.0.1:${serverPort}
cert = ${material.clientCert}
key = ${material.clientKey}
CAfile = ${material.ca}
verifyChain = yes
checkHost = localhost
sslVersionMin = TLSv1.2`),
}

function plan(directory: string, service: string) {
  const config = `foreground = yes
pid =
debug = err
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1

[memcached]
${service}
`
  return {
    command: [findProgram(PROGRAM) ?? PROGRAM, `${directory}/stunnel.conf`],
    files: { 'stunnel.conf': config },
  }
}
