#!/bin/sh
# The environment at start, for what the container runs itself. It ends in what OpenClaw asks for (sleep infinity), so that the
# container lives on, and starts without the proxy as well: OpenClaw would else only see a container that is gone.
set -eu
# shellcheck disable=SC1090 # it is in the image
. "${SALLYPORT_PROFILE:-/etc/profile.d/sallyport.sh}"
exec "$@"
