import { askVersion, type Contestant } from './contestant.ts'
import { memcached, memcachedCommand } from './memcached.ts'

const REQUIRE_CLIENT_CERTIFICATE = 2

/** memcached's own TLS (-Z): no second process and no second hop. */
export const nativeTls: Contestant = {
  name: 'native',
  title: 'memcached native TLS',
  isStore: true,
  debian: 'memcached',
  absent: () => memcached.absent() ?? (hasTls() ? undefined : 'this memcached is built without TLS'),
  version: memcached.version,
  server: ({ port, material }) => ({
    command: [
      ...memcachedCommand(port), '-Z', '-o',
      `ssl_chain_cert=${material.serverCert},ssl_key=${material.serverKey},ssl_ca_cert=${material.ca},`
      + `ssl_verify_mode=${REQUIRE_CLIENT_CERTIFICATE},ssl_min_version=2`,   // 2 is TLSv1.2
    ],
    files: {},
  }),
}

function hasTls(): boolean {
  return askVersion(['memcached', '-h'], /(--enable-ssl)/) !== 'unknown'
}
