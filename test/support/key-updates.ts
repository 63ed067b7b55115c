import { createCipheriv, createHmac } from 'node:crypto'

/** KeyUpdate records of TLS 1.3 (RFC 8446, 4.6.3), each encrypted with the key that the one before it asked for.
 *  @param secret CLIENT_TRAFFIC_SECRET_0, in hex, as 'keylog' tells it   @param cipher as `getCipher().standardName` */
export function keyUpdates(secret: string, cipher: string, count: number): Buffer {
  const [hash, algorithm, keyBytes] = cipher.includes('AES_256') ? ['sha384', 'aes-256-gcm', 32] as const : ['sha256', 'aes-128-gcm', 16] as const
  const head = Buffer.from([0x17, 3, 3, 0, 22])
  const message = Buffer.from([24, 0, 0, 1, 0, 0x16])   // KeyUpdate, nothing asked for in return; a handshake record
  const records: Buffer[] = []
  let traffic: Buffer = Buffer.from(secret, 'hex')
  for (let i = 0; i < count; i++) {
    // The first record under each key has number 0, so the nonce is the bare iv.
    const sealed = createCipheriv(algorithm, expand(hash, traffic, 'key', keyBytes), expand(hash, traffic, 'iv', 12)).setAAD(head)
    records.push(head, sealed.update(message), sealed.final(), sealed.getAuthTag())
    traffic = expand(hash, traffic, 'traffic upd', traffic.length)
  }
  return Buffer.concat(records)
}

/** HKDF-Expand-Label of RFC 8446, 7.1, with an empty context and at most one block. */
function expand(hash: string, secret: Buffer, label: string, bytes: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`)
  const info = Buffer.concat([Buffer.from([0, bytes, name.length]), name, Buffer.from([0, 1])])
  return createHmac(hash, secret).update(info).digest().subarray(0, bytes)
}
