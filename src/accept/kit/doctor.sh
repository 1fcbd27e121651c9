# shellcheck shell=sh disable=SC2154
# What follows is the same for every sandbox. Above it stand the settings: proxy_plain, proxy_host, fetch_header, ca_mark (a
# line that this CA alone has) and key_prefixes (how keys of known kinds begin). Needs a POSIX shell, awk, and curl or wget;
# changes nothing, and prints no value of a variable or file. Nothing runs before the last line.

usage() {
  cat <<'END'
Run inside a sandbox: is there a way out past the proxy, is its CA trusted, do programs use it, is there a real key.
Dials a few public addresses, to see that it cannot. Status 0: well, or warnings alone; 1: a check failed.
`sallyport doctor` asks the same and more, where Node is.

  --help        this text
END
}

network_fix='give the sandbox network no route but to the proxy: deploy/README.md'
install_fix='run /install.sh, or evaluate /env again'
probe=https://doctor.sallyport.invalid/
failed=0

has() { command -v "$1" >/dev/null 2>&1; }

# tell STATUS CHECK DETAIL [FIX]: one finding.
tell() {
  printf '%-8s%-22s%s\n' "$1" "$2" "$3"
  [ -z "${4:-}" ] || printf '%30s-> %s\n' '' "$4"
  [ "$1" != fail ] || failed=1
}

# limited COMMAND…: at most 15 seconds of it, where there is a way to say so.
limited() {
  if has timeout; then timeout 15 "$@"; else "$@"; fi
}

# wget of GNU reads settings files that may name a proxy; that of busybox knows no such option, and often no limit.
direct_wget() {
  if wget --version 2>/dev/null | grep -q GNU; then set -- --no-proxy -t 1 -T 3 "$@"; fi
  set -- wget "$@"
  if has timeout; then set -- timeout 4 "$@"; fi
  http_proxy='' HTTP_PROXY='' LC_ALL=C "$@"
}

# fetch PATH: what the proxy itself answers.
fetch() {
  if has curl; then
    curl -fsS -m 5 --noproxy '*' ${fetch_header:+-H "$fetch_header"} "$proxy_plain$1"
  else
    direct_wget -q ${fetch_header:+--header="$fetch_header"} -O - "$proxy_plain$1"
  fi 2>/dev/null
}

# connects HOST PORT: does a TCP connection open without the proxy?
connects() {
  case $1 in *:*) host="[$1]" ;; *) host=$1 ;; esac
  if has curl; then
    took=$(curl -gs -o /dev/null -m 4 --connect-timeout 2 --noproxy '*' -w '%{time_connect}' "http://$host:$2/")
    case $took in *[1-9]*) return 0 ;; *) return 1 ;; esac
  elif has bash && has timeout; then
    timeout 3 bash -c ": </dev/tcp/$1/$2" 2>/dev/null
  else
    direct_wget -O /dev/null "http://$host:$2/" 2>&1 |
      grep -Eq 'connected\.|error getting response|server returned|HTTP/1'
  fi
}

check_tcp() {
  open=$(
    for at in 1.1.1.1/443 8.8.8.8/53 9.9.9.9/443 2606:4700:4700::1111/443 2001:4860:4860::8888/53 169.254.169.254/80; do
      { if connects "${at%/*}" "${at#*/}"; then printf ' %s port %s' "${at%/*}" "${at#*/}"; fi; } &
    done
    wait
  )
  if [ -z "$open" ]; then
    tell ok 'direct TCP' 'none of 6 addresses outside can be reached without the proxy'
  else
    tell fail 'direct TCP' "reached without the proxy:$open" "$network_fix"
  fi
}

check_dns() {
  if ! has nslookup || ! has timeout; then
    tell skipped 'direct DNS' 'there is no nslookup here, or no timeout'
    return
  fi
  servers=$(
    for server in 1.1.1.1 8.8.8.8 2606:4700:4700::1111; do
      { if timeout 4 nslookup example.com "$server" 2>&1 | grep -Eq '^Name:|NXDOMAIN'; then printf ' %s' "$server"; fi; } &
    done
    wait
  )
  if [ -z "$servers" ]; then
    tell ok 'direct DNS' 'no name server outside answers'
  else
    tell fail 'direct DNS' "name servers answer:$servers" "$network_fix"
  fi
}

check_resolver() {
  if ! has getent; then
    tell skipped 'system resolver' 'there is no getent here'
    return
  fi
  known=$(
    for name in example.com one.one.one.one; do
      { limited getent hosts "$name" | awk -v name="$name" '
        # The gate of transparent mode answers with an address of its own network.
        $1 !~ /^(0\.|10\.|127\.|169\.254\.|172\.(1[6-9]|2[0-9]|3[01])\.|192\.168\.|::1?$|f[cd]|fe80)/ { found = 1 }
        END { if (found) printf " %s", name }'; } &
    done
    wait
  )
  if [ -z "$known" ]; then
    tell ok 'system resolver' 'public names are not resolved here; the proxy resolves them'
  else
    tell fail 'system resolver' "resolves$known: data can leave in names" \
      'give the sandbox no DNS; Docker before 25.0.5 and 26.0 forwards names even from an internal network'
  fi
}

check_proxy() {
  proxy=${HTTPS_PROXY:-${https_proxy:-}}
  me=$(fetch /whoami) || me=''
  case $me in
    '{"group"'*) ;;
    *)
      tell fail proxy "$proxy_plain does not say who this sandbox is" 'may this network reach its port; is the token still good?'
      return
      ;;
  esac
  who=$(printf '%s' "$me" | sed -n 's/^{"group":"\([^"]*\)","identity":"\([^"]*\)".*/group \1, identity \2/p')
  case $proxy in
    *"$proxy_host"*)
      case $me in
        *'"mode":"monitor"'*)
          tell warn proxy "$proxy_plain: $who, mode monitor: nothing is refused" 'mode: enforce in the policy'
          ;;
        *) tell ok proxy "$proxy_plain: $who" ;;
      esac
      ;;
    '') tell fail proxy 'HTTPS_PROXY names none' "eval \"\$(curl -fsS $proxy_plain/env)\", or run /install.sh" ;;
    *) tell fail proxy "HTTPS_PROXY names another than $proxy_host" "$install_fix" ;;
  esac
}

# trusts FILE: does it hold the CA?
trusts() { [ -r "$1" ] && grep -qF "$ca_mark" "$1" 2>/dev/null; }

check_trust() {
  unset='' wrong=''
  for name in NODE_EXTRA_CA_CERTS SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE GIT_SSL_CAINFO PIP_CERT; do
    file=$(awk -v name="$name" 'BEGIN { print ENVIRON[name] }')
    if [ -z "$file" ]; then unset="$unset $name"; elif ! trusts "$file"; then wrong="$wrong $name"; fi
  done
  if [ -n "$wrong" ]; then
    tell fail 'trust by variables' "point to files without the CA:$wrong" "$install_fix"
  elif [ -n "$unset" ]; then
    tell warn 'trust by variables' "not set:$unset" "$install_fix"
  else
    tell ok 'trust by variables' '6 variables point to files with the CA'
  fi
  if trusts /etc/ssl/certs/ca-certificates.crt || trusts /etc/pki/tls/certs/ca-bundle.crt || trusts /etc/ssl/cert.pem; then
    tell ok 'trust by the system' 'the bundle of the system holds the CA'
  else
    tell warn 'trust by the system' 'no bundle of the system holds the CA' 'run /install.sh as root'
  fi
}

# program NAME COMMAND…: does its refusal come from the proxy? No rule names the host.
program() {
  name=$1
  shift
  if ! has "$name"; then
    tell skipped "$name" 'is not here'
    return
  fi
  case $(limited "$@" 2>&1 </dev/null) in
    # Some show the status alone, wget the reason alone.
    *403* | *502* | *503* | *_not_allowed* | *rule_denied*) tell ok "$name" 'asks the proxy' ;;
    *407* | *auth_required* | *auth_invalid*) tell fail "$name" 'asks the proxy without a good token' 'get a new token' ;;
    # Refused inside TLS, by refuse: inside.
    *certificate*) tell warn "$name" 'asks the proxy, and does not trust its CA' "$install_fix" ;;
    *) tell fail "$name" 'does not ask the proxy' 'set HTTPS_PROXY; for Node before 24.5 the preload, too' ;;
  esac
}

check_programs() {
  [ -n "${HTTPS_PROXY:-${https_proxy:-}}" ] || return 0
  program curl curl -fsS -m 10 -o /dev/null "$probe"
  # That of busybox speaks TLS to the host itself, whatever the variables say.
  if wget --version 2>/dev/null | grep -q GNU; then program wget wget -T 10 -t 1 -O /dev/null "$probe"; fi
  program git git ls-remote "$probe"
  program python3 python3 -c "import urllib.request as u; u.urlopen('$probe')"
  program node node -e "require('https').get('$probe',(a)=>console.log(a.statusCode)).on('error',(e)=>console.log(e.message))"
}

# find_keys FILE, or - for what `env` prints: where something stands that looks like a real key, by the public beginning of
# its kind. Never the text.
find_keys() {
  [ "$1" = - ] || [ -r "$1" ] || return 0
  SALLYPORT_PREFIXES=$key_prefixes SALLYPORT_KNOWN=$known_values awk -v from="$1" '
    BEGIN {
      count = split(ENVIRON["SALLYPORT_PREFIXES"], prefixes, " ")
      known = ENVIRON["SALLYPORT_KNOWN"]
    }
    # A placeholder: by the mark in it, or because /env of this proxy has it.
    function held(word) {
      return index(tolower(word), "slyprtqx") || index(tolower(word), "5a11b0275a11") || index(known, word)
    }
    function kind(word,    best, i, part, rest) {
      for (i = 1; i <= count; i++)
        if (index(word, prefixes[i]) == 1 && length(prefixes[i]) > length(best)) best = prefixes[i]
      if (best == "" && word ~ /^eyJ/ && split(word, part, ".") == 3 && length(part[2]) > 8) best = "eyJ"
      if (best == "" && word ~ /^[0-9]+:/ && split(word, part, ":") == 2 && length(part[2]) == 35) best = part[1] ":"
      if (best == "" && length(word) == 34 && word ~ /^(AC|SK|AP|MG)[0-9a-f]+$/) best = substr(word, 1, 2)
      rest = substr(word, length(best) + 1)
      if (best == "" || length(rest) < 16 || rest !~ /[0-9]/ || rest !~ /[A-Za-z]/) return ""
      return best "…"
    }
    function say(what) {
      if (!((where, what) in said)) printf "%s (%s), ", where, what
      said[where, what] = 1
    }
    {
      if (from != "-") where = from ":" FNR
      else if ($0 ~ /^[A-Za-z_][A-Za-z0-9_]*=/) where = "variable " substr($0, 1, index($0, "=") - 1)
      if (key) { if (!held($0)) say("a private key"); key = 0 }
      if ($0 ~ /-----BEGIN ([A-Z]+ )*PRIVATE KEY-----$/) key = 1
      else if ($0 ~ /-----BEGIN ([A-Z]+ )*PRIVATE KEY-----/ && !held($0)) say("a private key")
      line = $0
      gsub(/[^A-Za-z0-9_.:+=-]/, " ", line)
      words = split(line, word, " ")
      for (i = 1; i <= words; i++) {
        value = word[i]
        if (match(value, /^[A-Za-z_][A-Za-z0-9_]*[=:]/) && RLENGTH < length(value)) value = substr(value, RLENGTH + 1)
        if (length(value) >= 20 && !held(value) && kind(value) != "") say(kind(value))
      }
      if (match(tolower($0), /(aws_secret_access_key|aws_session_token|_authtoken|_password)[ \t]*[=:][ \t]*["\047]?/)) {
        value = substr($0, RSTART + RLENGTH)
        sub(/[ \t"\047].*$/, "", value)
        if (length(value) >= 8 && !held(value) && kind(value) == "") say("a secret by its name")
      }
    }' "$1"
}

check_keys() {
  known_values=$(fetch '/env?format=json') || known_values=''
  found=$(
    env | find_keys -
    for file in .env .netrc .git-credentials .npmrc .pypirc .aws/credentials .config/gh/hosts.yml .docker/config.json \
      .config/gcloud/application_default_credentials.json .kube/config .codex/auth.json .claude/.credentials.json \
      .ssh/id_rsa .ssh/id_ed25519 .ssh/id_ecdsa .cargo/credentials.toml .gem/credentials; do
      find_keys "${HOME:-/root}/$file"
    done
    [ "$PWD" = "${HOME:-/root}" ] || for file in .env .env.local .env.production .npmrc; do
      find_keys "$PWD/$file"
    done
  )
  if [ -z "$found" ]; then
    tell ok 'real keys' 'none in the environment or the usual files'
  else
    tell fail 'real keys' "look like real keys: ${found%, }" 'take them out, put them into the vault, rotate them'
  fi
}

main() {
  case ${1:-} in
    '') ;;
    --help | -h)
      usage
      exit 0
      ;;
    *)
      echo "sallyport: unknown option $1 (--help lists them)" >&2
      exit 2
      ;;
  esac
  if ! has curl && ! has wget; then
    echo 'sallyport: doctor.sh needs curl or wget' >&2
    exit 2
  fi
  check_tcp
  check_dns
  check_resolver
  check_proxy
  check_trust
  check_programs
  check_keys
  exit "$failed"
}
