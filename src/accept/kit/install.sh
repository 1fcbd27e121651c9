# shellcheck shell=sh disable=SC2154
# What follows is the same for every sandbox. Above it stand the settings: proxy_url (with the token, where one was
# used), proxy_plain (without), proxy_host, proxy_port, fetch_header, ca_mark (a line that this CA alone has), and the
# functions ca_certificate, variables and preload, which print texts. Nothing runs before the last line,
# so a download that breaks off does nothing.

usage() {
  cat <<'END'
Prepares this machine, container or image for its Sallyport proxy. Safe to run twice.

  --dry-run     say what would be done, change nothing
  --uninstall   take away what an earlier run put here
  --root DIR    prepare the file system below DIR (an image that is being built); --prefix is the same
  --user        only this user's files; the default where one is not root
  --help        this text
END
}

parse_options() {
  dry='' undo='' root='' user=''
  while [ $# -gt 0 ]; do
    case $1 in
      --dry-run) dry=yes ;;
      --uninstall) undo=yes ;;
      --user) user=yes ;;
      --root | --prefix)
        if [ $# -lt 2 ] || [ ! -d "$2" ]; then fail 2 "$1 needs a folder that exists"; fi
        root=$(cd "$2" && pwd)
        [ "$root" != / ] || root=''
        shift
        ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) fail 2 "unknown option $1 (--help lists them)" ;;
    esac
    shift
  done
  [ "$(id -u)" = 0 ] || [ -n "$root" ] || user=yes
  home=${HOME:-/root}
  [ -z "$root" ] || home=/root
  case $home in
    *[!A-Za-z0-9_./@+-]*) fail 1 "the home folder $home has characters that settings files would need quotes for" ;;
  esac
  if [ -n "$user" ]; then
    dir=$home/.sallyport
    env_file=$dir/env.sh
  else
    dir=/etc/sallyport
    env_file=/etc/profile.d/sallyport.sh
  fi
}

# --- small tools -------------------------------------------------------------------------------------------------

fail() {
  echo "sallyport: $2" >&2
  exit "$1"
}

# did WORD TEXT: one line of the report.
did() { printf '  %-9s %s\n' "$1" "$2"; }

# has PROGRAM: is it there (below the root, if one is given)?
has() {
  if [ -z "$root" ]; then
    command -v "$1" >/dev/null 2>&1
    return
  fi
  for folder in usr/local/sbin usr/local/bin usr/sbin usr/bin sbin bin; do
    [ ! -x "$root/$folder/$1" ] || return 0
  done
  return 1
}

# inside COMMAND…: runs it where the files are.
inside() {
  if [ -z "$root" ]; then "$@"; else chroot "$root" "$@"; fi
}

# run TEXT COMMAND…: a step that is a program. Its failure is told and does not end the rest.
run() {
  run_text=$1
  shift
  if [ -n "$dry" ]; then
    did would "$run_text"
  elif inside "$@" >"$work/out" 2>&1 </dev/null; then
    did ran "$run_text"
  else
    did failed "$run_text: $(tail -n 1 "$work/out")"
  fi
}

# settle FILE: makes FILE what "$work/new" holds; an empty text means no file. Keeps owner and mode of what is there.
settle() {
  if [ ! -s "$work/new" ]; then
    [ -e "$root$1" ] || return 0
    if [ -n "$dry" ]; then did would "remove $1"; else rm -f "$root$1" && did removed "$1"; fi
  elif cmp -s "$work/new" "$root$1"; then
    did same "$1"
  elif [ -n "$dry" ]; then
    did would "write $1"
  else
    mkdir -p "$(dirname "$root$1")" && cat "$work/new" >"$root$1" && did wrote "$1"
  fi
}

# put FILE: the whole file is ours, its text comes on standard input.
put() {
  if [ -n "$undo" ]; then : >"$work/new"; else cat >"$work/new"; fi
  settle "$1"
}

# Certificates that are to be trusted: one, more while the CA is changed, or with the chain of an operator's own CA.
ca_parts() { ca_certificate | grep -c '^-----BEGIN'; }

# ca_part N: the Nth of them; nothing where there are fewer.
ca_part() { ca_certificate | awk -v n="$1" '/^-----BEGIN/ { i++ } i == n'; }

# The second to the fourth: there are never more.
more_parts='2 3 4'
part_names() { for part in $more_parts; do echo "$1$part${2:-}"; done; }

# others FILE: its text without our part.
others() {
  [ ! -f "$root$1" ] || sed '/^# >>> sallyport >>>$/,/^# <<< sallyport <<<$/d' "$root$1"
}

# block FILE: our part of a file that others write too, between two marks.
block() {
  { echo '# >>> sallyport >>>' && cat && echo '# <<< sallyport <<<'; } >"$work/block"
  others "$1" >"$work/new"
  if [ -n "$undo" ]; then
    grep -qs '^# >>> sallyport >>>$' "$root$1" || return 0
  else
    # A last line without its end would run into ours.
    [ ! -s "$work/new" ] || [ -z "$(tail -c 1 "$work/new")" ] || echo >>"$work/new"
    cat "$work/block" >>"$work/new"
  fi
  settle "$1"
}

# fetch PATH: what the proxy itself answers, on standard output.
fetch() {
  if command -v curl >/dev/null 2>&1; then
    curl -fsS --noproxy '*' ${fetch_header:+-H "$fetch_header"} "$proxy_plain$1"
  else
    http_proxy='' wget -q ${fetch_header:+--header="$fetch_header"} -O - "$proxy_plain$1"
  fi
}

# --- the steps ---------------------------------------------------------------------------------------------------

# The bundle that programs of this system read.
system_bundle() {
  for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem \
    /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem /etc/ssl/ca-bundle.pem; do
    if [ -s "$root$bundle" ]; then
      echo "$bundle"
      return
    fi
  done
}

# Debian, Ubuntu, Alpine: update-ca-certificates. Red Hat, Fedora: update-ca-trust. Neither: the bundle itself.
system_trust() {
  if has update-ca-certificates; then
    trust_by /usr/local/share/ca-certificates/sallyport.crt update-ca-certificates
  elif has update-ca-trust; then
    trust_by /etc/pki/ca-trust/source/anchors/sallyport.crt update-ca-trust
  else
    bundle=$(system_bundle)
    if [ -n "$bundle" ]; then
      ca_certificate | block "$bundle"
    else
      did skipped "system trust: no bundle and no update-ca-certificates here; variables point to $dir/bundle.crt"
    fi
  fi
}

# One certificate to a file: openssl makes no link for a file of several.
trust_by() {
  before=$(cat "$root${1%.crt}"*.crt 2>/dev/null || :)
  ca_part 1 | put "$1"
  for part in $more_parts; do ca_part "$part" | put "${1%.crt}-$part.crt"; done
  after=$(cat "$root${1%.crt}"*.crt 2>/dev/null || :)
  bundle=$(system_bundle)
  if [ -z "$dry" ] && [ "$before" = "$after" ]; then
    [ -z "$undo" ] || return 0
    [ -z "$bundle" ] || ! grep -qsF -e "$ca_mark" "$root$bundle" || return 0
  fi
  # Debian's forgets a certificate that is gone only when it starts afresh.
  if [ -n "$undo" ] && [ "$2" = update-ca-certificates ]; then
    run "$2 --fresh" sh -c "$2 --fresh || $2"
  else
    run "$2" "$2"
  fi
}

# ca.crt for what adds to a store, bundle.crt (all public roots and the CA) for what replaces it.
own_files() {
  ca_certificate | put "$dir/ca.crt"
  # For stores that take one at a time.
  for part in $more_parts; do ca_part "$part" | put "$dir/ca-$part.crt"; done
  preload | put "$dir/preload.cjs"
  bundle=$(system_bundle)
  if [ -n "$undo" ]; then
    : >"$work/bundle"
  elif [ -n "$bundle" ]; then
    { cat "$root$bundle" && { grep -qsF -e "$ca_mark" "$root$bundle" || ca_certificate; }; } >"$work/bundle"
  elif [ -n "$dry" ]; then
    did would "fetch $proxy_plain/bundle.pem for $dir/bundle.crt: there are no public roots here"
    return
  else
    fetch /bundle.pem >"$work/bundle" ||
      fail 1 "no public roots here, and $proxy_plain/bundle.pem could not be fetched (curl or wget)"
  fi
  put "$dir/bundle.crt" <"$work/bundle"
  if [ -n "$undo" ] && [ -z "$dry" ]; then rmdir "$root$dir" 2>/dev/null || :; fi
}

# Login shells read /etc/profile.d; other interactive ones need a line of their own.
environment() {
  { echo "sallyport_dir='$dir'" && variables && echo 'unset sallyport_dir'; } | put "$env_file"
  if [ -n "$user" ]; then
    set -- "$home/.profile" "$home/.bashrc"
    [ ! -f "$home/.zshenv" ] || set -- "$@" "$home/.zshenv"
  else
    set --
    for rc in /etc/bash.bashrc /etc/bashrc /etc/zsh/zshenv /etc/zshenv; do
      [ ! -f "$root$rc" ] || set -- "$@" "$rc"
    done
  fi
  for rc in "$@"; do
    echo "if [ -r '$env_file' ]; then . '$env_file'; fi" | block "$rc"
  done
}
