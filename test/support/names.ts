import type { CertificateNames } from '../../src/tls/certificate-names.ts'

/** What a certificate says, as far as a test cares. */
export function certificateOf(names: Partial<CertificateNames>): CertificateNames {
  return { cn: undefined, ou: [], dns: [], uri: [], ip: [], issuer: [], serial: '01', fingerprint: 'AA:BB', spki: 'sha256/x', ...names }
}
