#!/bin/sh
# Run inside a sandbox: proves that nothing gets out but through the proxy, that the proxy's other ports are out of reach,
# and that the proxy works. Changes nothing. A POSIX shell, awk and one of curl or wget will do; what could not be tried for
# want of a program is `skip`, and a proof with a gap is none: --gaps accepts it.
set -eu

usage() {
  cat <<'END'
verify.sh [--proxy URL] [--allowed URL] [--closed "HOST:PORT ..."] [--timeout SECONDS] [--redirected] [--gaps] [--json]

  --proxy URL     the proxy; default $VERIFY_PROXY, else HTTPS_PROXY, else http://sallyport:8080
  --allowed URL   a URL that the policy allows and that answers; default $VERIFY_ALLOWED, else not tried
  --closed LIST   addresses with ports that must not answer, beside those that are tried anyway: the admin side and
                  metrics; default $VERIFY_CLOSED
  --timeout N     how long a connection may take, in seconds; default 2
  --redirected    ports 443, 80 and 53 of anybody lead to the proxy here (nftables/redirect.nft): that something takes a
                  connection there is right; that it is the proxy, and says no, is what is looked at
  --gaps          status 0 also when checks were skipped
  --json          the findings as a list of { check, status, detail }

Status 0: shut, and the proxy works. 1: a check failed or could not be made. 2: wrong use.
It dials public addresses (1.1.1.1, 8.8.8.8, 9.9.9.9 and their like) to see that it cannot.
END
}

has() { command -v "$1" >/dev/null 2>&1; }

proxy=${VERIFY_PROXY:-${HTTPS_PROXY:-${https_proxy:-http://sallyport:8080}}}
allowed=${VERIFY_ALLOWED:-}
closed=${VERIFY_CLOSED:-}
wait_s=2 redirected=no gaps=no json=no
while [ $# -gt 0 ]; do
  case $1 in
    --proxy) proxy=${2:?--proxy needs a URL} && shift ;;
    --allowed) allowed=${2:?--allowed needs a URL} && shift ;;
    --closed) closed=${2:?--closed needs a list} && shift ;;
    --timeout) wait_s=${2:?--timeout needs seconds} && shift ;;
    --redirected) redirected=yes ;;
    --gaps) gaps=yes ;;
    --json) json=yes ;;
    --help | -h) usage && exit 0 ;;
    *) echo "verify.sh: unknown option $1 (--help lists them)" >&2 && exit 2 ;;
  esac
  shift
done
case $wait_s in '' | *[!0-9]* | 0) echo 'verify.sh: --timeout is a number of seconds' >&2 && exit 2 ;; esac
if ! has curl && ! has wget; then
  echo 'verify.sh: needs curl or wget' >&2
  exit 2
fi
# What stands here is what the checks mean by "without the proxy".
unset http_proxy HTTP_PROXY https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
export LC_ALL=C
proxy=${proxy%/}
proxy_at=${proxy#*://}
proxy_at=${proxy_at##*@}
proxy_host=${proxy_at%:*}
proxy_host=${proxy_host#[}
proxy_host=${proxy_host%]}
limit_s=$((wait_s + 2))

# tell STATUS CHECK DETAIL: one finding, ok, fail or skip, as a line for `show`. Checks run beside one another: `at` is the
# place of each in the list.
tell() { printf '%s\t%s\t%s\t%s\n' "$at" "$1" "$2" "$3"; }

# show: the findings on standard input, in order; the status of it all.
show() {
  sort -n | awk -F '\t' -v json="$json" -v gaps="$gaps" '
    json == "yes" {
      gsub(/["\\]/, "", $4)
      printf "%s\n  {\"check\":\"%s\",\"status\":\"%s\",\"detail\":\"%s\"}", (NR == 1 ? "[" : ","), $3, $2, $4
    }
    json != "yes" { printf "%-6s%-22s%s\n", ($2 == "fail" ? "FAIL" : $2), $3, $4 }
    { seen[$2]++ }
    END {
      lost = '"$checks"' - NR
      if (json == "yes") print "\n]"
      else if (seen["fail"]) printf "%d of %d checks failed: this sandbox is not shut\n", seen["fail"], NR
      else if (lost > 0) printf "%d checks did not come to an end\n", lost
      else if (seen["skip"] && gaps != "yes")
        printf "%d of %d checks could not be made: install what they name, or accept it by --gaps\n", seen["skip"], NR
      else printf "%d checks: this sandbox is shut, and the proxy works\n", NR
      exit seen["fail"] > 0 || lost > 0 || (seen["skip"] > 0 && gaps != "yes")
    }'
}

limited() { if has timeout; then timeout "$limit_s" "$@"; else "$@"; fi; }

# knock HOST PORT: prints open, refused or silent: what a TCP connection without the proxy comes to.
knock() {
  case $1 in *:*) host="[$1]" ;; *) host=$1 ;; esac
  if has curl; then
    # %{time_connect} is 0 until the connection stands; -v alone tells a refusal from silence.
    said=$(curl -gsv -o /dev/null -m "$limit_s" --connect-timeout "$wait_s" --noproxy '*' \
      -w '\nconnected:%{time_connect};\n' "http://$host:$2/" 2>&1) || :
    took=${said##*connected:}
    case ${took%%;*} in
      *[1-9]*) echo open ;;
      *) case $said in *refused*) echo refused ;; *) echo silent ;; esac ;;
    esac
  elif has nc && has timeout; then
    # It ends by itself when nobody takes the connection, and is ended when somebody does and says nothing.
    code=0
    said=$(timeout "$limit_s" nc -w "$wait_s" "$1" "$2" </dev/null 2>&1) || code=$?
    case $code:$said in
      *refused*) echo refused ;;
      0:* | 124:* | 143:*) echo open ;;
      *) echo silent ;;
    esac
  else
    # That of busybox knows neither option.
    if wget --version 2>/dev/null | grep -q GNU; then once='-t 1 --no-proxy'; else once=''; fi
    # shellcheck disable=SC2086 # no option, or two
    said=$(limited wget $once -T "$wait_s" -O /dev/null "http://$host:$2/" 2>&1) || :
    case $said in
      *refused*) echo refused ;;
      *connected* | *'error getting response'* | *'server returned'* | *HTTP/1*) echo open ;;
      *) echo silent ;;
    esac
  fi
}

# knock_all PATTERN AT...: which of HOST/PORT come to something that PATTERN names; all at once.
knock_all() {
  pattern=$1
  shift
  for one in "$@"; do
    case $redirected:${one##*/} in yes:443 | yes:80 | yes:53) continue ;; esac
    {
      answer=$(knock "${one%/*}" "${one##*/}")
      case "|$pattern|" in *"|$answer|"*) printf ' %s port %s (%s)' "${one%/*}" "${one##*/}" "$answer" ;; esac
    } &
  done
  wait
}

# judge CHECK FOUND GOOD BAD
judge() {
  if [ -z "$2" ]; then tell ok "$1" "$3"; else tell fail "$1" "$4$2"; fi
}

# Silence proves nothing of a tool that cannot hear: the one port that must be open is tried first, in the same way.
check_probe() {
  answer=$(knock "$proxy_host" "${proxy_at##*[!0-9]}")
  if [ "$answer" = open ]; then
    tell ok probe "$proxy_at takes a connection: the way in which the others are tried works"
  else
    tell fail probe "$proxy_at takes no connection ($answer): the silence of others proves nothing"
  fi
}

check_tcp() {
  found=$(knock_all 'open|refused' 1.1.1.1/443 1.1.1.1/80 8.8.8.8/443 9.9.9.9/443 93.184.216.34/443 140.82.121.4/22 1.1.1.1/853)
  judge 'direct TCP' "$found" 'ports of public addresses: nothing answers' 'reached without the proxy:'
}

check_dns_tcp() {
  found=$(knock_all 'open|refused' 1.1.1.1/53 8.8.8.8/53 9.9.9.9/53)
  judge 'DNS over TCP' "$found" 'no public name server takes a connection' 'reached:'
}

check_ipv6() {
  found=$(knock_all 'open|refused' 2606:4700:4700::1111/443 2001:4860:4860::8888/53 2620:fe::fe/443)
  judge IPv6 "$found" 'no public address takes a connection' 'reached:'
}

UDP_PYTHON='
import socket, sys
six = ":" in sys.argv[1]
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(float(sys.argv[2]))
try:
    s.sendto(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01", (sys.argv[1], 53))
    answer = s.recv(512)
    print("answers" if sys.argv[3] == "no" or answer[6:8] != b"\0\0" else "knows nothing")
except OSError:
    pass
'

# asks SERVER: does it answer a question over UDP, whatever the answer; where it may be the proxy: with an address?
asks() {
  if has python3; then
    [ "$(python3 -c "$UDP_PYTHON" "$1" "$wait_s" "$redirected")" = answers ]
  elif has dig; then
    [ "$redirected" = yes ] && sign='ANSWER: [1-9]' || sign='status:'
    dig +time="$wait_s" +tries=1 example.com "@$1" 2>&1 | grep -q "$sign"
  else
    [ "$redirected" = yes ] && sign='^Name:' || sign='^Name:|NXDOMAIN|REFUSED|SERVFAIL|No answer|[Nn]on-authoritative'
    limited nslookup example.com "$1" 2>&1 | grep -Eq "$sign"
  fi
}

check_dns_udp() {
  if ! has python3 && ! has dig && ! has nslookup; then
    tell skip 'UDP port 53' 'there is no python3, dig or nslookup here'
    return
  fi
  found=$(
    for server in 1.1.1.1 8.8.8.8 9.9.9.9 2606:4700:4700::1111; do
      { if asks "$server"; then printf ' %s' "$server"; fi; } &
    done
    wait
  )
  judge 'UDP port 53' "$found" 'no public name server answers' 'answered:'
}

# addresses NAME: what the system's resolver says of it.
addresses() {
  if has getent; then
    limited getent ahosts "$1"
  else
    limited nslookup "$1" 2>/dev/null | awk 'name && /^Address/ { print $NF } /^Name:/ { name = 1 }'
  fi
}

check_resolver() {
  if ! has getent && ! has nslookup; then
    tell skip resolver 'there is no getent or nslookup here'
    return
  fi
  found=$(
    for name in example.com one.one.one.one github.com; do
      # The proxy of transparent mode answers with an address of its own network.
      { addresses "$name" | awk -v name="$name" '
        $1 !~ /^(0\.|10\.|127\.|169\.254\.|172\.(1[6-9]|2[0-9]|3[01])\.|192\.168\.|::1?$|f[cd]|fe80)/ { found = 1 }
        END { if (found) printf " %s", name }'; } &
    done
    wait
  )
  judge resolver "$found" 'public names are not resolved here' 'data can leave in names, it resolves:'
}

check_metadata() {
  found=$(knock_all 'open|refused' 169.254.169.254/80 169.254.170.2/80 168.63.129.16/80 100.100.100.200/80 fd00:ec2::254/80)
  if [ "$redirected" = yes ] && has curl; then
    for host in 169.254.169.254 168.63.129.16; do
      curl -s -m "$limit_s" --noproxy '*' "http://$host/latest/meta-data/" | grep -q '"urn:sallyport:' || found="$found $host"
    done
  fi
  judge metadata "$found" 'no metadata service answers' 'reached:'
}

# Where the host would be: the gateway of each route, the first address of each network, and the names that Docker gives it.
hosts_around() {
  {
    awk 'function dotted(hex) {
           return ("0x" substr(hex, 7, 2)) " " ("0x" substr(hex, 5, 2)) " " ("0x" substr(hex, 3, 2)) " " ("0x" substr(hex, 1, 2))
         }
         NR > 1 && $8 != "FFFFFFFF" { print dotted($3 == "00000000" ? $2 : $3), ($3 == "00000000" && $2 != "00000000") }' \
      /proc/net/route | while read -r a b c d first; do
      [ "$a$b$c$d" = 0x000x000x000x00 ] || echo "$((a)).$((b)).$((c)).$((d + first))"
    done
    for name in host.docker.internal gateway.docker.internal; do
      if has getent; then limited getent hosts "$name" | awk '{ print $1 }'; fi
    done
    echo 172.17.0.1
  } | sort -u
}

check_gateway() {
  list=''
  for host in $(hosts_around); do
    # Where the proxy runs on the host itself, its port is the one that is open; the others must be shut all the same.
    for port in 22 53 80 111 443 2375 2376 3000 5432 6379 9090 9100; do list="$list $host/$port"; done
  done
  # shellcheck disable=SC2086 # a list of words
  found=$(knock_all 'open|refused' $list)
  judge 'host gateway' "$found" "the usual ports of each of $(hosts_around | wc -l | tr -d ' ') addresses: nothing answers" 'the host answers:'
}

check_closed() {
  list="$proxy_host/9090 $proxy_host/9091"
  for one in $closed; do list="$list ${one%:*}/${one##*:}"; done
  # A refusal is a good answer here: the machine is the proxy's, and nobody listens.
  # shellcheck disable=SC2086 # a list of words
  found=$(knock_all open $list)
  judge 'admin side' "$found" 'admin side and metrics cannot be reached' 'reached from a sandbox:'
}

# A client that is told to do without the proxy.
check_noproxy() {
  found=''
  for url in https://example.com/ http://example.com/ https://1.1.1.1/; do
    if has curl; then
      curl -ksS -o /dev/null -m "$limit_s" --connect-timeout "$wait_s" --noproxy '*' "$url" 2>/dev/null && found="$found $url"
    else
      limited wget -q -T "$wait_s" -O /dev/null "$url" 2>/dev/null && found="$found $url"
    fi
  done
  judge '--noproxy' "$found" 'a client that ignores the proxy gets nothing' 'fetched without the proxy:'
}

# from_proxy PATH: what the proxy itself answers.
from_proxy() {
  if has curl; then
    curl -fsS -m 10 --noproxy '*' "$proxy$1" 2>/dev/null
  else
    limited wget -q -O - "$proxy$1" 2>/dev/null
  fi
}

# through URL [OPTION]: the heads of the answers, or what the client says of them. OPTION is curl's.
through() {
  if has curl; then
    curl -sS ${2:+"$2"} -m 20 -x "$proxy" -o /dev/null -D - "$1" 2>&1
  else
    http_proxy=$proxy https_proxy=$proxy limited wget -O /dev/null "$1" 2>&1
  fi
}

check_proxy() {
  me=$(from_proxy /whoami) || me=''
  who=$(printf '%s' "$me" | sed -n 's/^{"group":"\([^"]*\)","identity":"\([^"]*\)".*/group \1, identity \2/p')
  if [ -z "$who" ]; then
    tell fail proxy "$proxy_at does not answer, or does not know this sandbox"
    return
  fi
  case $me in
    *'"mode":"monitor"'*) tell fail proxy "$who, in monitor mode: nothing is refused" ;;
    *) tell ok proxy "$proxy_at knows this sandbox: $who" ;;
  esac
}

# refused CHECK WHAT URL...: the proxy says no to each, in its own words.
refused() {
  name=$1 what=$2 found=''
  shift 2
  for url in "$@"; do
    # -k: a refusal that is told inside TLS is one, whatever the sandbox trusts.
    case $(through "$url" -k) in
      *_not_allowed* | *rule_denied* | *host_mismatch* | *locked_down*) ;;
      *) found="$found $url" ;;
    esac
  done
  judge "$name" "$found" "$what" 'not refused by the proxy:'
}

check_allowed() {
  said=$(through "$allowed") && came=yes || came=no
  case $came:$said in
    no:*) tell fail 'allowed URL' "$allowed: $(printf '%s' "$said" | tail -n 1)" ;;
    *Proxy-Status:*error=* | *_not_allowed*) tell fail 'allowed URL' "$allowed is refused by the proxy" ;;
    *) tell ok 'allowed URL' "$allowed came through the proxy" ;;
  esac
}

check_unknown() {
  set -- http://verify.sallyport.invalid/
  # That of busybox speaks TLS to the host itself, whatever the variables say.
  if has curl; then set -- "$@" https://verify.sallyport.invalid/; fi
  refused 'unknown host' 'the proxy refuses a host that nobody listed' "$@"
}

check_around() {
  refused 'around the proxy' 'it opens no metadata service and no port of its own' \
    http://169.254.169.254/latest/meta-data/ http://127.0.0.1:9090/metrics "http://$proxy_host:9090/metrics"
}

# In two batches, so that a limit of processes is not met.
first='probe tcp dns_udp dns_tcp resolver ipv6 metadata closed noproxy'
second='gateway proxy unknown around'
[ -z "$allowed" ] || second="$second allowed"
# shellcheck disable=SC2086 # lists of words
checks=$(printf '%s\n' $first $second | wc -l)

at=0
{
  for check in $first; do
    at=$((at + 1))
    "check_$check" &
  done
  wait
  for check in $second; do
    at=$((at + 1))
    "check_$check" &
  done
  wait
} | show
