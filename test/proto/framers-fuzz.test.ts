import { test } from 'vitest'
import { fuzzFramers } from '../soak/framers.ts'

// The same for a million cases: npm run soak.
test.each([1, 2, 3])('mutilated conversations, seed %d: nothing but refusals, and the same however cut', seed => fuzzFramers(2000, seed))
