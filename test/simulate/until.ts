// Prints the number of the first history that fails, or nothing when none of so many does. For mutations.ts.
import { simulate } from './simulate.ts'

const most = Number(process.argv[2])
for (let seed = 1; seed <= most; seed++) {
  if (simulate(seed, 1).failed.length === 0) continue
  console.log(seed)
  break
}
