import { existsSync } from 'node:fs'
import { absentWithout, askVersion, findProgram, MAX_CONNECTIONS, type Contestant } from './contestant.ts'

const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so'

/** nginx stream. Its sockets are no-delay by default (tcp_nodelay on). */
export const nginx: Contestant = {
  name: 'nginx',
  title: 'nginx stream',
  debian: 'nginx libnginx-mod-stream',
  absent: () => absentWithout('nginx'),
  version: () => askVersion(['nginx', '-v'], /nginx\/(\S+)/),
  server: ({ port, memcachedPort, material, directory }) => plan(directory, `
    listen 127.0.0.1:${port} ssl backlog=4096;
    ssl_certificate ${material.serverCert};
    ssl_certificate_key ${material.serverKey};
    ssl_client_certificate ${material.ca};
    ssl_verify_client on;
    ssl_protocols TLSv1.2 TLSv1.3;
    proxy_pass 127.0.0.1:${memcachedPort};`),
  sidecar: ({ port, serverPort, material, directory }) => plan(directory, `
    listen 127.0.0.1:${port} backlog=4096;
    proxy_ssl on;
    proxy_ssl_certificate ${material.clientCert};
    proxy_ssl_certificate_key ${material.clientKey};
    proxy_ssl_trusted_certificate ${material.ca};
    proxy_ssl_verify on;
    proxy_ssl_name localhost;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
    proxy_pass 127.0.0.1:${serverPort};`),
}

function plan(directory: string, server: string) {
  const config = `${existsSync(STREAM_MODULE) ? `load_module ${STREAM_MODULE};\n` : ''}worker_processes 1;
worker_rlimit_nofile ${2 * MAX_CONNECTIONS};
daemon off;
pid ${directory}/nginx.pid;
error_log stderr error;
events { worker_connections ${2 * MAX_CONNECTIONS}; }
stream {
  access_log off;
  proxy_timeout 1h;
  server {${server}
  }
}
`
  return {
    command: [findProgram('nginx') ?? 'nginx', '-p', directory, '-e', 'stderr', '-c', `${directory}/nginx.conf`],
    files: { 'nginx.conf': config },
  }
}
