import { askVersion, type Contestant } from './contestant.ts'
import { memcachedAt, memcachedCommand } from './memcached.ts'

const REQUIRE_CLIENT_CERTIFICATE = 2

/** memcached's own TLS (-Z): no second process and no second hop.   @param program name or path */
export function nativeTlsAt(program: string): Contestant {
  const plain = memcachedAt(program)
  return {
    name: 'native',
    title: 'memcached native TLS',
    isStore: true,
    debian: 'memcached',
    absent: () => plain.absent() ?? (hasTls(program) ? undefined : 'this memcached is built without TLS'),
    version: plain.version,
    server: ({ port, material }) => ({
      command: [
        ...memcachedCommand(program, port), '-Z', '-o',
        `ssl_chain_cert=${material.serverCert},ssl_key=${material.serverKey},ssl_ca_cert=${material.ca},`
        + `ssl_verify_mode=${REQUIRE_CLIENT_CERTIFICATE},ssl_min_version=2`,   // 2 is TLSv1.2
      ],
      files: {},
    }),
  }
}

function hasTls(program: string): boolean {
  return askVersion([program, '-h'], /(--enable-ssl)/) !== 'unknown'
}
