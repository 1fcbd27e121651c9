# shellcheck shell=sh disable=SC2154
# --- programs with settings of their own -------------------------------------------------------------------------
# The variables reach most of them; these files also reach what runs without them: cron, sudo, services, `docker exec`.

root_only() {
  [ -n "$user" ] || return 0
  did skipped "$1: needs root"
  return 1
}

# needs PROGRAM TEXT: no program, no step.
needs() {
  if has "$1"; then return 0; fi
  did skipped "$2: no $1 here"
  return 1
}

apt_settings() {
  needs apt-get 'apt settings' || return 0
  root_only 'apt settings' || return 0
  put /etc/apt/apt.conf.d/90sallyport <<END
Acquire::http::Proxy "$proxy_url";
Acquire::https::Proxy "$proxy_url";
Acquire::https::CAInfo "$dir/bundle.crt";
END
}

# SSH does not pass an HTTP proxy: remotes of the usual forges are asked by HTTPS instead.
git_settings() {
  if [ -n "$user" ]; then git_file=$home/.gitconfig; else git_file=/etc/gitconfig; fi
  {
    printf '[http]\n\tproxy = "%s"\n\tproxyAuthMethod = basic\n\tsslCAInfo = "%s"\n' "$proxy_url" "$dir/bundle.crt"
    for forge in github.com gitlab.com bitbucket.org; do
      printf '[url "https://%s/"]\n\tinsteadOf = git@%s:\n\tinsteadOf = ssh://git@%s/\n' $forge $forge $forge
    done
  } | block "$git_file"
}

pip_settings() {
  if [ -n "$user" ]; then pip_file=$home/.config/pip/pip.conf; else pip_file=/etc/pip.conf; fi
  # A section may stand in the file once.
  if others "$pip_file" | grep -q '^\[global\]'; then
    did skipped "$pip_file: has a [global] section of its own; the variables reach pip"
    return 0
  fi
  printf '[global]\nproxy = %s\ncert = %s\n' "$proxy_url" "$dir/bundle.crt" | block "$pip_file"
}

npm_settings() {
  if [ -n "$user" ]; then
    npm_file=$home/.npmrc
  else
    needs npm 'npm settings' || return 0
    npm_file=$(inside npm config get globalconfig 2>/dev/null </dev/null | tail -n 1)
    case $npm_file in
      /*) ;;
      *)
        did skipped 'npm settings: npm does not say where its global file is'
        return 0
        ;;
    esac
  fi
  printf 'proxy=%s\nhttps-proxy=%s\nnoproxy=localhost,127.0.0.1,::1\ncafile=%s\n' \
    "$proxy_url" "$proxy_url" "$dir/bundle.crt" | block "$npm_file"
}

# GNU wget alone; busybox's reads the environment and nothing else.
wget_settings() {
  if [ -n "$user" ]; then wget_file=$home/.wgetrc; else wget_file=/etc/wgetrc; fi
  [ -f "$root$wget_file" ] || { has wget && inside wget --version 2>/dev/null | grep -q GNU; } || return 0
  printf 'use_proxy = on\nhttp_proxy = %s\nhttps_proxy = %s\nno_proxy = localhost,127.0.0.1,::1\nca_certificate = %s\n' \
    "$proxy_url" "$proxy_url" "$dir/bundle.crt" | block "$wget_file"
}

# Every Java has a store of its own, unless the system's is linked into it.
java_trust() {
  needs keytool 'the stores of Java' || return 0
  root_only 'the stores of Java' || return 0
  for store in /usr/lib/jvm/*/lib/security/cacerts /usr/lib/jvm/*/jre/lib/security/cacerts \
    /opt/java/*/lib/security/cacerts "${JAVA_HOME:-/none}/lib/security/cacerts"; do
    java_store "$store"
  done
}

# The pattern was expanded outside; below a root it is expanded here.
java_store() {
  for found in "$root"$1; do
    [ -f "$found" ] || continue
    store=${found#"$root"}
    inside keytool -list -rfc -storepass changeit -keystore "$store" 2>/dev/null </dev/null | tr -d '\r' >"$work/list" || :
    if [ -z "$undo" ] && grep -qF -e "$ca_mark" "$work/list" &&
      [ "$(grep -c '^Alias name: \(debian:\)\{0,1\}sallyport' "$work/list")" = "$(ca_parts)" ]; then
      did same "$store"
      continue
    fi
    # An older CA of ours goes first. `debian:` is what Debian's own tool gives it, and does not take away.
    for alias in sallyport debian:sallyport.pem $(part_names sallyport-) $(part_names debian:sallyport- .pem); do
      if inside keytool -list -storepass changeit -keystore "$store" -alias "$alias" >/dev/null 2>&1 </dev/null; then
        run "keytool: $alias out of $store" keytool -delete -storepass changeit -keystore "$store" -alias "$alias"
      fi
    done
    [ -z "$undo" ] || continue
    run "keytool: the CA into $store" keytool -importcert -noprompt -trustcacerts \
      -storepass changeit -keystore "$store" -alias sallyport -file "$dir/ca.crt"
    for part in $more_parts; do
      [ ! -s "$root$dir/ca-$part.crt" ] || run "keytool: another CA into $store" keytool -importcert -noprompt \
        -trustcacerts -storepass changeit -keystore "$store" -alias "sallyport-$part" -file "$dir/ca-$part.crt"
    done
  done
}

# Browsers of the Chromium family take certificates from policy files, which no profile can miss.
chromium_policy() {
  root_only 'the policy of Chromium and Chrome' || return 0
  der=$(ca_certificate | awk '/^-----BEGIN/ { printf "%s", sep; sep = "\", \""; next } /^-----END/ { next } { printf "%s", $0 }')
  for place in /etc/chromium /etc/opt/chrome /etc/opt/chrome_for_testing; do
    printf '{ "CACertificates": ["%s"] }\n' "$der" | put "$place/policies/managed/sallyport.json"
  done
}

# The certificate store of NSS: Firefox aside, older Chromium and what else uses it.
nss_trust() {
  needs certutil 'the store of NSS' || return 0
  nss=$home/.pki/nssdb
  if [ -z "$undo" ] &&
    inside certutil -d "sql:$nss" -L -n sallyport -a 2>/dev/null | tr -d '\r' | grep -qF -e "$ca_mark" &&
    [ "$(inside certutil -d "sql:$nss" -L 2>/dev/null | grep -c '^sallyport')" = "$(ca_parts)" ]; then
    did same "$nss"
    return 0
  fi
  # What is there under our names is another CA, or one too many.
  for name in sallyport $(part_names sallyport-); do
    if [ -d "$root$nss" ] && inside certutil -d "sql:$nss" -L -n "$name" >/dev/null 2>&1; then
      run "certutil: $name out of $nss" certutil -d "sql:$nss" -D -n "$name"
    fi
  done
  [ -z "$undo" ] || return 0
  if [ -z "$dry" ] && [ ! -d "$root$nss" ]; then
    mkdir -p "$root$nss"
    inside certutil -d "sql:$nss" -N --empty-password </dev/null
  fi
  run "certutil: the CA into $nss" certutil -d "sql:$nss" -A -t C,, -n sallyport -i "$dir/ca.crt"
  for part in $more_parts; do
    [ ! -s "$root$dir/ca-$part.crt" ] ||
      run "certutil: another CA into $nss" certutil -d "sql:$nss" -A -t C,, -n "sallyport-$part" -i "$dir/ca-$part.crt"
  done
}

# Gives the variables to containers that are started or built from here.
docker_settings() {
  needs docker 'docker settings' || return 0
  docker_file=$home/.docker/config.json
  if [ -e "$root$docker_file" ] && ! grep -qF -e "$proxy_plain" -e "$proxy_url" "$root$docker_file"; then
    did skipped "$docker_file: is there; add \"proxies\" to it by hand"
    return 0
  fi
  put "$docker_file" <<END
{ "proxies": { "default": { "httpProxy": "$proxy_url", "httpsProxy": "$proxy_url", "noProxy": "localhost,127.0.0.1,::1" } } }
END
}

# Maven asks its settings file alone; Gradle its properties.
build_settings() {
  if needs mvn 'Maven settings'; then
    maven_file=$home/.m2/settings.xml
    if [ -e "$root$maven_file" ] && ! grep -qF '<id>sallyport</id>' "$root$maven_file"; then
      did skipped "$maven_file: is there; add a <proxy> to it by hand"
    else
      put "$maven_file" <<END
<settings><proxies>
  <proxy><id>sallyport</id><active>true</active><protocol>http</protocol><host>$proxy_host</host><port>$proxy_port</port>
    <nonProxyHosts>localhost|127.*</nonProxyHosts></proxy>
</proxies></settings>
END
    fi
  fi
  [ -d "$root$home/.gradle" ] || needs gradle 'Gradle settings' || return 0
  for scheme in http https; do
    printf 'systemProp.%s.proxyHost=%s\nsystemProp.%s.proxyPort=%s\n' $scheme "$proxy_host" $scheme "$proxy_port"
  done | block "$home/.gradle/gradle.properties"
}

# --- the end -----------------------------------------------------------------------------------------------------

closing_words() {
  [ -z "$undo" ] || return 0
  [ -z "$fetch_header" ] || echo "These files hold the token of this sandbox: do not put them into an image that others get."
  cat <<END
New login shells have the variables; this one: . $env_file
Programs that no shell starts (docker exec, services) need them from the container itself:
  curl '$proxy_plain/env?format=docker', and NODE_OPTIONS=--require=$dir/preload.cjs where Node runs.
END
}

main() {
  parse_options "$@"
  umask 022
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  trap 'exit 1' INT TERM HUP
  echo "Sallyport ($proxy_plain)${root:+ below $root}${user:+, for this user alone}${dry:+, a dry run}:"
  if [ -z "$user" ]; then system_trust; else did skipped 'system trust: needs root; the variables reach most programs'; fi
  own_files
  environment
  apt_settings
  git_settings
  pip_settings
  npm_settings
  wget_settings
  java_trust
  chromium_policy
  nss_trust
  docker_settings
  build_settings
  closing_words
}
