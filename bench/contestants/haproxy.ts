import { absentWithout, askVersion, findProgram, MAX_CONNECTIONS, type Contestant } from './contestant.ts'

/** HAProxy in TCP mode. Its sockets are no-delay by default. */
export const haproxy: Contestant = {
  name: 'haproxy',
  title: 'HAProxy',
  debian: 'haproxy',
  absent: () => absentWithout('haproxy'),
  version: () => askVersion(['haproxy', '-v'], /version (\d[\d.]*\d)/),
  server: ({ port, memcachedPort, material, directory }) => plan(directory,
    `ssl crt ${material.serverPem} ca-file ${material.ca} verify required ssl-min-ver TLSv1.2`, port,
    `127.0.0.1:${memcachedPort}`),
  sidecar: ({ port, serverPort, material, directory }) => plan(directory, '', port,
    `127.0.0.1:${serverPort} ssl crt ${material.clientPem} ca-file ${material.ca} verify required `
    + 'verifyhost localhost sni str(localhost) ssl-min-ver TLSv1.2'),
}

function plan(directory: string, bindOptions: string, port: number, server: string) {
  const config = `global
  nbthread 1
  maxconn ${MAX_CONNECTIONS / 2}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen memcached
  bind 127.0.0.1:${port} backlog 4096 ${bindOptions}
  server memcached ${server}
`
  return {
    command: [findProgram('haproxy') ?? 'haproxy', '-db', '-f', `${directory}/haproxy.cfg`],
    files: { 'haproxy.cfg': config },
  }
}
