/** The bytes stored under a key: known from the key alone, so every reply can be checked to the last byte. */
export function valueOf(key: string, length: number): Buffer {
  const value = Buffer.alloc(length)
  value.write(key.slice(0, length), 'latin1')
  // xorshift32 over printable bytes: no two keys share a value, and nothing in it looks like the end of a reply.
  let state = seedOf(key)
  for (let at = Math.min(key.length, length); at < length; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    value[at] = 0x30 + ((state >>> 3) & 0x3f)
  }
  return value
}

/** Numbers in [0, 1) that are the same on each run, so that every contestant meets the same requests. */
export function repeatableRandom(seed: number): () => number {
  let state = seed || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

function seedOf(key: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  return hash || 1
}
