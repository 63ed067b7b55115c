/** What a command is given besides its flags, so that tests can stand in for a terminal. */
export interface Terminal {
  environment: NodeJS.ProcessEnv
  out(text: string): void
  err(text: string): void
}
