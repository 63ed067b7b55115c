/** The command line itself is wrong: exit status 2. The message says what is wrong and, on a second line, what to do. */
export class UsageError extends Error {}
