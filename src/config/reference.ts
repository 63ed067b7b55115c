import { exitStatuses } from '../errors.ts'
import { commandNames, commands, groups, type RefusalForm } from '../proto/commands.ts'
import { flagsThatNeedMore } from '../proto/meta-request.ts'
import type { Fields, Kind } from './kinds.ts'
import { schema } from './schema.ts'
import { isRequired, join } from './sections.ts'
import { setupOptions } from './setup.ts'

/** config/REFERENCE.md, for operators: every section with its keys, then what needs no file. */
export function referenceText(): string {
  return [
    '# Configuration of memseal\n',
    '<!-- Made by `memseal config reference` from src/config/schema.ts. Change it there. -->\n',
    'One YAML file, by default `/etc/memseal/memseal.yaml`. `memseal check` prints every fault of it with ' +
      'file, line and column.\n',
    [
      '- A duration is a number with `ms`, `s`, `m`, `h` or `d`; a size one with `B`, `KiB`, `MiB` or `GiB`. ' +
        'There is none without a unit.',
      '- `${NAME}` in a value stands for the environment variable NAME, which must be set. ' +
        'Within `[ ]` and `{ }` it needs quotes, as do an address with brackets and a lone dash.',
      '- A relative path starts at the folder of the file that it is written in; one in a flag or an environment variable at the ' +
        'working folder. (What is found in the working folder alone is still taken, with a warning.)',
      '- Unknown keys and keys that stand twice are faults.',
      '- `memseal reload` (or SIGHUP) brings changes into force while clients stay, but for the keys that say that they need a restart.\n',
    ].join('\n'),
    ...sections(schema, '', ''),
    commandsText(),
    setupText(),
    exitText(),
  ].join('\n')
}

/** config/schema.json, for editors. */
export function schemaText(): string {
  const document = { $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'memseal.yaml', ...schema.jsonSchema() }
  return `${JSON.stringify(document, null, 2)}\n`
}

function sections(kind: Kind<any>, path: string, key: string): string[] {
  const { shape } = kind
  if (shape?.kind === 'map') return sections(shape.of, join(path, shape.placeholder), shape.example ?? shape.placeholder)
  if (shape?.kind === 'list' && shape.of.shape !== undefined) return sections(shape.of, `${path}[]`, `${key}[]`)
  if (shape?.kind !== 'section') return []
  const title = path === '' ? '## The file' : `## \`${path}\``
  const need = kind.isOptional ? 'May be left out. ' : ''
  const text = `${title}\n\n${need}${kind.doc}\n\n${table(shape.fields, path)}\n${example(shape.fields, key)}`
  return [text, ...Object.entries(shape.fields).flatMap(([name, inner]) => sections(inner, join(path, name), name))]
}

function table(fields: Fields, path: string): string {
  const rows = Object.entries(fields).map(([key, kind]) => {
    if (kind.shape?.kind === 'list' && kind.shape.of.shape !== undefined) {
      const inner = `${join(path, key)}[]`
      return `| \`${key}\` | list of sections | ${defaultOf(kind)} | ${cell(kind.doc)} See [${inner}](#${anchor(inner)}). |`
    }
    if (kind.shape?.kind === 'map') {
      const inner = join(join(path, key), kind.shape.placeholder)
      const more = kind.shape.of.shape?.kind === 'section' ? ` See [${inner}](#${anchor(inner)}).` : ''
      return `| \`${key}\` | ${cell(kind.words)} | ${defaultOf(kind)} | ${cell(kind.doc)}${more} |`
    }
    const isSection = kind.shape?.kind === 'section'
    const inner = join(path, key)
    const doc = isSection ? `See [${inner}](#${anchor(inner)}).` : kind.reload === 'restart' ? `${kind.doc} A change needs a restart.` : kind.doc
    return `| \`${key}\` | ${cell(kind.words)} | ${defaultOf(kind)} | ${cell(doc)} |`
  })
  return `| key | takes | default | what it does |\n|---|---|---|---|\n${rows.join('\n')}\n`
}

function defaultOf(kind: Kind<any>): string {
  if (isRequired(kind)) return '*required*'
  if (kind.default === undefined) return kind.isOptional ? 'none' : 'its keys\' defaults'
  return kind.default === '[]' ? 'none' : kind.default.includes('`') ? kind.default : `\`${kind.default}\``
}

function example(fields: Fields, key: string): string {
  const lines = Object.entries(fields)
    .filter(([, kind]) => kind.example !== undefined || (kind.shape?.kind !== 'section' && kind.shape?.kind !== 'map'))
    .map(([name, kind]) => `${name}: ${exampleOf(kind)}`)
  const list = key.endsWith('[]') ? [`${key.slice(0, -2)}:`, ...lines.map((line, at) => `  ${at === 0 ? '-' : ' '} ${line}`)] : undefined
  const body = list ?? (key === '' ? lines : [`${key}:`, ...lines.map(line => `  ${line}`)])
  return `\`\`\`yaml\n${body.join('\n')}\n\`\`\`\n`
}

function exampleOf(kind: Kind<any>): string {
  if (kind.example !== undefined) return kind.example
  if (kind.default !== undefined && !kind.default.includes('`')) return kind.default
  return /`(\w+)`/.exec(kind.words)![1]   // a choice: its first word
}

function setupText(): string {
  const rows = setupOptions.map(({ flag, variable, value, isList, path, doc }) =>
    `| \`--${flag} ${value}\`${isList ? ' (repeatable)' : ''} ` +
    `| \`${variable}\`${isList ? ' (parted by commas)' : ''} | \`${path.join('.')}\` | ${doc} |`)
  return `## Without a file

Small set-ups need none: flags of \`memseal run\`, or the environment variables beside them, make one service named
\`memcached\`. A flag wins over a variable. \`MEMSEAL_CONFIG\` names a file as \`--config\` does. With a file,
only those for the log count; the file may name the others as \`\${MEMSEAL_LISTEN}\`.

| flag | variable | key | what it is |
|---|---|---|---|
${rows.join('\n')}
`
}

function commandsText(): string {
  const names = (group: string) => [...new Set(commands.filter(row => row.group === group).map(row => row.name))].filter(name => commandNames.includes(name))
  const code = (words: readonly string[]) => words.map(each => `\`${each}\``).join(', ')
  const rows = groups.map(group => `| \`${group}\`${group === 'basic' ? ': always allowed' : ''} | ${code(names(group))} |`)
  const groupOf = (name: string) => commands.find(row => row.name === name)!.group
  const also = [
    ...flagsThatNeedMore.map(({ verb, letters, also }) => ({ request: `\`${verb}\` with ${letters.join(', ').replace(/, (\w)$/, ' or $1')}`, also })),
    ...commands.flatMap(({ name, creates }) => creates === undefined ? [] : [{ request: `\`${name}\` of the binary protocol, unless its exptime is ffffffff`, also: creates }]),
  ].map(({ request, also }) => `| ${request} | \`${also}\`, or its group \`${groupOf(also)}\` |`)
  return `## Commands

What \`commands\` of a service may name: a group, or a single command. One name stands for a command in both protocols, quiet
forms included. \`basic\` is what the log and the metrics call the commands that are always allowed; \`commands\` does not name it.

| group | commands |
|---|---|
${rows.join('\n')}

\`auth\` is logins: SASL, and in text the \`set\` by which clients log in to a memcached with \`-Y\`. Where \`write\` is not allowed memseal passes
that \`set\` on only while memcached asks for a login on that very client's connection.

A command that is not allowed is refused in the form that those who ask it read:

| refused | text | binary |
|---|---|---|
| ${refusedWith('statistic')} | a list of one: \`STAT memseal command_not_allowed\`, \`END\` | status 0x83 |
| ${refusedWith('key')} | a list of one: \`key=memseal:command_not_allowed …\`, \`END\` | |
| what memseal does not know; \`sasl\` | \`ERROR\` | status 0x81, \`Unknown command\` |
| any other | \`CLIENT_ERROR memseal: command not allowed\` | status 0x83 |

Some requests change more than their command says. They are allowed only where a second one is allowed as well:

| request | needs as well |
|---|---|
${also.join('\n')}
`
}

function refusedWith(form: RefusalForm): string {
  return commands.filter(({ refusal, verb }) => refusal === form && verb !== undefined).map(({ name }) => `\`${name}\``).join(', ')
}

function exitText(): string {
  const rows = Object.values(exitStatuses).map(({ status, doc }) => `| ${status} | ${doc} |`)
  return `## Exit statuses\n\n| status | meaning |\n|---|---|\n${rows.join('\n')}\n`
}

function anchor(path: string): string {
  return path.toLowerCase().replace(/[^a-z0-9_-]/g, '')
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}
