#!/bin/sh
# /usr/local/bin/refresh-secrets: prints `export` lines of the placeholders and proxy variables that this sandbox has now. One
# fixed question to the proxy, whatever the arguments: it lists no keys, and what it prints is worth nothing elsewhere.
set -eu
exec curl -fsS --noproxy '*' --max-time 10 "${SALLYPORT_URL:-http://sallyport:8080}/env"
