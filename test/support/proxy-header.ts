/** PROXY headers, as load balancers send them. */

export const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n'

/** @param words behind `PROXY `: `TCP4 192.0.2.7 10.0.0.1 56324 443` */
export function v1(words: string): Buffer {
  return Buffer.from(`PROXY ${words}\r\n`, 'latin1')
}

/** @param command 0x21 PROXY, 0x20 LOCAL   @param family 0x11 TCP4, 0x21 TCP6 */
export function v2(command: number, family: number, addresses: Buffer): Buffer {
  return Buffer.concat([Buffer.from(SIGNATURE, 'latin1'), Buffer.from([command, family, addresses.length >> 8, addresses.length & 255]), addresses])
}

export function v4Addresses(source: string, port: number): Buffer {
  return Buffer.from([...source.split('.').map(Number), 10, 0, 0, 1, port >> 8, port & 255, 1, 187])
}

/** @param source 32 digits of hex */
export function v6Addresses(source: string, port: number): Buffer {
  return Buffer.concat([Buffer.from(source, 'hex'), Buffer.alloc(16, 1), Buffer.from([port >> 8, port & 255, 1, 187])])
}
