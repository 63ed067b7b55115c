/** Who is at the other end of a client's connection. */
import type { CertificateNames } from '../tls/certificate-names.ts'
import type { PeerTls } from '../tls/peer.ts'

export interface Peer {
  id: string              // c17, unique in this process
  service: string
  listener: string        // 0.0.0.0:11212, unix:/path
  address: string         // IPv4-mapped as IPv4; 'unix'
  countedAs: string       // what limits count as one client: the address, or the network of an IPv6 one
  port: number            // 0 on a unix socket
  via?: string            // the load balancer whose PROXY header says all this
  tls?: PeerTls
  names?: CertificateNames   // undefined: no certificate
}
