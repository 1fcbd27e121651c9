/** The completion scripts: for each command the words that may follow it. Pure; used by `completion.ts`. */

type Word = { readonly name: string; readonly about: string };

export type BranchNode = {
  /** names that lead to the command; none: `sallyport` itself */
  readonly path: readonly string[];
  /** commands below it, and what its argument may be */
  readonly words: readonly Word[];
  /** `value`: what an option wants, as its help names it; null: nothing */
  readonly options: readonly (Word & { readonly value: string | null })[];
};

const FILES = new Set(['file', 'dir', 'path']);

/** For bash 4 and later. */
export function bashScript(branches: readonly BranchNode[]): string {
  const words = branches.map(
    (node) => `    '${key(node)}') words=${quote(wordsOf(node).map(nameOf).join(' '))} ;;`,
  );
  return `# Completion of sallyport for bash, made by \`sallyport completion bash\`.
_sallyport() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} at='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$at $word" in
      ${patterns(branches)}) at="$at $word" ;;
    esac
  done
  COMPREPLY=()
  case "$prev" in
    --group)
      mapfile -t COMPREPLY < <(compgen -W "$(sallyport completion --groups 2>/dev/null)" -- "$cur")
      return ;;
    ${valued(branches, false)}) return ;;
    ${valued(branches, true)})
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return ;;
  esac
  case "$at" in
${words.join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o default -F _sallyport sallyport
`;
}

/** With the description of each word. */
export function zshScript(branches: readonly BranchNode[]): string {
  const words = branches.map((node) => {
    const list = wordsOf(node).map(
      ({ name, about }) => `      ${quote(`${name.replaceAll(':', '\\:')}:${oneLine(about)}`)}`,
    );
    return `    '${key(node)}') list=(\n${list.join('\n')}\n    ) ;;`;
  });
  return `#compdef sallyport
# Completion of sallyport for zsh, made by \`sallyport completion zsh\`.
_sallyport() {
  local at='' word prev=\${words[CURRENT-1]}
  local -a list
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at $word" in
      ${patterns(branches)}) at="$at $word" ;;
    esac
  done
  case "$prev" in
    --group)
      list=(\${(f)"$(sallyport completion --groups 2>/dev/null)"})
      _describe group list
      return ;;
    ${valued(branches, false)}) return ;;
    ${valued(branches, true)})
      _files
      return ;;
  esac
  case "$at" in
${words.join('\n')}
  esac
  _describe sallyport list || _files
}
if [ "$funcstack[1]" = _sallyport ]; then _sallyport "$@"; else compdef _sallyport sallyport; fi
`;
}

function key({ path }: BranchNode): string {
  return path.map((name) => ` ${name}`).join('');
}

function patterns(branches: readonly BranchNode[]): string {
  return branches
    .filter(({ path }) => path.length > 0)
    .map((node) => `'${key(node)}'`)
    .join('|');
}

/** Options that want a value: of a file, or of something that nobody can complete. */
function valued(branches: readonly BranchNode[], files: boolean): string {
  const names = branches
    .flatMap(({ options }) => options)
    .filter(({ name, value }) => name !== '--group' && value !== null && FILES.has(value) === files)
    .map(nameOf);
  return [...new Set(names)].sort().join('|');
}

function wordsOf({ words, options }: BranchNode): readonly Word[] {
  return [...words, ...options];
}

function nameOf({ name }: Word): string {
  return name;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
