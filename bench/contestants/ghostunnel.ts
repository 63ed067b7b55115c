import { absentWithout, askVersion, findProgram, type Contestant } from './contestant.ts'

/** ghostunnel, where somebody put it on the PATH: Debian has no package of it. One thread for its Go code. */
export const ghostunnel: Contestant = {
  name: 'ghostunnel',
  title: 'ghostunnel',
  absent: () => absentWithout('ghostunnel'),
  version: () => askVersion(['ghostunnel', '--version'], /(\S+)/),
  server: ({ port, memcachedPort, material }) => ({
    command: [
      ...oneThread(), 'server', '--listen', `127.0.0.1:${port}`, '--target', `127.0.0.1:${memcachedPort}`,
      '--cert', material.serverCert, '--key', material.serverKey, '--cacert', material.ca, '--allow-all', '--quiet=all',
    ],
    files: {},
  }),
  sidecar: ({ port, serverPort, material }) => ({
    command: [
      ...oneThread(), 'client', '--listen', `127.0.0.1:${port}`, '--target', `localhost:${serverPort}`,
      '--cert', material.clientCert, '--key', material.clientKey, '--cacert', material.ca, '--quiet=all',
    ],
    files: {},
  }),
}

function oneThread(): string[] {
  return ['env', 'GOMAXPROCS=1', findProgram('ghostunnel') ?? 'ghostunnel']
}
