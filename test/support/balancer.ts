import { connect, createServer, type AddressInfo, type NetConnectOpts, type Server } from 'node:net'
import { atEndOfTest } from './test-life.ts'

export interface BalancerOptions {
  /** Where memseal listens. */
  to: { port: number } | { path: string }
  /** What it says before a client's bytes. */
  header: Buffer
  /** Its own address; default 127.0.8.8. */
  from?: string
  /** Header and the client's first bytes leave in two segments, cut here; left out: in one. */
  cut?: number
}

/** A load balancer that says for whom a connection is. Nothing leaves before its client has said something.
 *  @returns its port */
export async function startBalancer({ to, header, from = '127.0.8.8', cut }: BalancerOptions): Promise<number> {
  const server: Server = createServer(client => {
    const target: NetConnectOpts = 'path' in to ? to : { port: to.port, host: '127.0.0.1', localAddress: from }
    const upstream = connect(target).setNoDelay(true)
    for (const [one, other] of [[client, upstream], [upstream, client]]) one.on('error', () => {}).on('close', () => void other.destroy())
    upstream.pipe(client)
    client.once('data', async (first: Buffer) => {
      client.pause()
      const bytes = Buffer.concat([header, first])
      if (cut !== undefined) {
        upstream.write(bytes.subarray(0, cut))
        await new Promise(resolve => setTimeout(resolve, 2))
      }
      upstream.write(bytes.subarray(cut ?? 0))
      client.pipe(upstream)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  await atEndOfTest(async () => void server.close())
  return (server.address() as AddressInfo).port
}
