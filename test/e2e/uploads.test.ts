// A value that takes long to come, on a connection of its client's own.
import { expect, test } from 'vitest'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { connect } from '../support/wire.ts'

test('what was asked before a value is answered before its end', async () => {
  const memcached = await startMemcached()
  const daemon = await startDaemon({ services: { memcached: { listen: '127.0.0.1:0', backend: { connect: memcached.address, sharing: 'private' } } } })
  const client = await connect({ port: daemon.port() })
  const before = 'get a\r\nincr b 1\r\nmg c v\r\nmg d q\r\n'
  expect(await client.ask(`${before}set e 0 0 10\r\n12345`, 'END\r\nNOT_FOUND\r\nEN\r\n'.length)).toBe('END\r\nNOT_FOUND\r\nEN\r\n')
  expect(await client.ask('67890\r\nget e\r\n', 'STORED\r\nVALUE e 0 10\r\n1234567890\r\nEND\r\n'.length)).toBe('STORED\r\nVALUE e 0 10\r\n1234567890\r\nEND\r\n')
})
