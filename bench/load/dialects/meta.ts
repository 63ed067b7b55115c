import type { Dialect } from './dialect.ts'

/** Source: memcached doc/protocol.txt, "Meta Get" and "Meta Set" */
export const meta: Dialect = {
  get: (key, value) => ({
    request: Buffer.from(`mg ${key} v\r\n`),
    reply: Buffer.concat([Buffer.from(`VA ${value.length}\r\n`), value, Buffer.from('\r\n')]),
  }),
  miss: key => ({ request: Buffer.from(`mg ${key} v\r\n`), reply: Buffer.from('EN\r\n') }),
  set: (key, value) => ({
    request: Buffer.concat([Buffer.from(`ms ${key} ${value.length}\r\n`), value, Buffer.from('\r\n')]),
    reply: Buffer.from('HD\r\n'),
  }),
  getMany: (keys, values) => ({
    // As clients of the meta protocol do it: quiet gets that tell their key, closed by a noop.
    request: Buffer.from(keys.map(key => `mg ${key} k q v\r\n`).join('') + 'mn\r\n'),
    reply: Buffer.concat([
      ...keys.flatMap((key, i) => [Buffer.from(`VA ${values[i].length} k${key}\r\n`), values[i], Buffer.from('\r\n')]),
      Buffer.from('MN\r\n'),
    ]),
  }),
}
