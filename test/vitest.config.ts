import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/setup/run-folder.ts'],
    // Worker threads share the process's signals and working folder, which some tests need to themselves.
    pool: 'forks',
    // One for each of CI's cores. vitest would leave one core to itself, and no test here minds a neighbour.
    maxWorkers: 2,
    // What ends a wait is an event. These only end a test that is broken, and a busy machine may need its time.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // CI runs on a shared machine with two cores: a test with real daemons gets a second try there, and only there. What
    // fails twice fails; what needed a second try is in the output.
    retry: process.env['CI'] === 'true' ? 1 : 0,
  },
})
