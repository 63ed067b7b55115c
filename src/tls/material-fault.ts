/** `key` is the configuration key (below `tls.`) that it is about. */
export interface MaterialFault { key: 'cert' | 'key' | 'client_ca' | 'crl' | 'ca', message: string, fix: string }
