import { expect, test } from 'vitest'
import { mutations, placesOf } from './mutations.ts'

test.each(mutations)('there is one place for the mutation: $name', mutation => {
  expect(placesOf(mutation).places).toBe(1)
})
