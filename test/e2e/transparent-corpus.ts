import { binaryCorpus } from './transparent-corpus-binary.ts'
import { textCorpus } from './transparent-corpus-text.ts'

/** Every conversation that has to go the same way through memseal as with memcached itself. */
export const corpus = [...textCorpus, ...binaryCorpus]
