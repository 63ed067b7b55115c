import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/setup/run-folder.ts'],
    // Worker threads share the process's signals and working folder, which some tests need to themselves.
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
})
