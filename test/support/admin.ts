import { request } from 'node:http'

export interface AdminAnswer { status: number, body: string, headers: NodeJS.Dict<string | string[]> }

/** Asks an admin listener. @param where path of its unix socket, or its port on 127.0.0.1 */
export function askAdmin(where: string | number, path: string, method = 'GET', headers: Record<string, string> = {}): Promise<AdminAnswer> {
  const target = typeof where === 'string' ? { socketPath: where } : { host: '127.0.0.1', port: where }
  return new Promise((resolve, reject) => {
    const asked = request({ ...target, path, method, headers: { host: 'localhost', ...headers }, agent: false }, response => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => { body += text })
      response.on('end', () => resolve({ status: response.statusCode!, body, headers: response.headers }))
      response.on('error', reject)
    })
    asked.on('error', reject).end()
  })
}

/** The samples of /metrics as they are now, by their name and labels as they stand there. */
export async function readMetrics(where: string | number): Promise<Map<string, number>> {
  const { body } = await askAdmin(where, '/metrics', 'GET', { 'cache-control': 'no-cache' })
  return new Map(body.split('\n').filter(line => line !== '' && !line.startsWith('#')).map(line => {
    const at = line.lastIndexOf(' ')
    return [line.slice(0, at), Number(line.slice(at + 1))]
  }))
}
