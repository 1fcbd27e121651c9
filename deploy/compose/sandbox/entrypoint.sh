#!/bin/sh
# Takes proxy variables, trust and placeholders from the proxy, then becomes what it was asked to run. No proxy, no start.
set -eu
proxy=${VERIFY_PROXY:-http://sallyport:8080}
environment=$(curl -fsS --noproxy '*' --max-time 10 "$proxy/env")
eval "$environment"
exec "$@"
