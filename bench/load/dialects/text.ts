import type { Dialect } from './dialect.ts'

/** Source: memcached doc/protocol.txt, "Storage commands" and "Retrieval command" */
export const text: Dialect = {
  get: (key, value) => ({
    request: Buffer.from(`get ${key}\r\n`),
    reply: Buffer.concat([hit(key, value), Buffer.from('END\r\n')]),
  }),
  miss: key => ({ request: Buffer.from(`get ${key}\r\n`), reply: Buffer.from('END\r\n') }),
  set: (key, value) => ({
    request: Buffer.concat([Buffer.from(`set ${key} 0 0 ${value.length}\r\n`), value, Buffer.from('\r\n')]),
    reply: Buffer.from('STORED\r\n'),
  }),
  getMany: (keys, values) => ({
    request: Buffer.from(`get ${keys.join(' ')}\r\n`),
    reply: Buffer.concat([...keys.map((key, i) => hit(key, values[i])), Buffer.from('END\r\n')]),
  }),
}

function hit(key: string, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`VALUE ${key} 0 ${value.length}\r\n`), value, Buffer.from('\r\n')])
}
