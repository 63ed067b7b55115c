// What stands in PEM, whatever stands around it: `openssl x509 -text` writes words before a block, haproxy wants the key in
// the same file, Windows ends lines in its own way and begins files with a mark.

/** Each certificate as it stands there, BEGIN and END included. */
export function certificateBlocks(pem: string): string[] {
  return pem.match(/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^]+?-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g) ?? []
}
