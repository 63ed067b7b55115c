import { expect, test } from 'vitest'
import { readFileSync } from 'node:fs'
import { referenceText, schemaText } from '../../src/config/reference.ts'

const kept = (name: string) => readFileSync(new URL(`../../config/${name}`, import.meta.url), 'utf8')

test('config/REFERENCE.md is what the schema says; else run: node src/main.ts config reference > config/REFERENCE.md', () => {
  expect(kept('REFERENCE.md')).toBe(referenceText())
})

test('config/schema.json is what the schema says; else run: node src/main.ts config schema > config/schema.json', () => {
  expect(kept('schema.json')).toBe(schemaText())
})
