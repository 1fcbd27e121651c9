#!/bin/sh
# Makes what compose.yaml mounts and nobody should commit: .env, and a secret for each file that it names. Safe to repeat.
set -eu
cd "$(dirname "$0")"
umask 077
[ -f .env ] || cp .env.example .env
# The folder is closed; the files in it are for containers whose users are not you.
chmod 700 secrets
for name in vault_passphrase grafana_password; do
  [ -s "secrets/$name" ] || head -c 32 /dev/urandom | base64 | tr -d '\n' >"secrets/$name"
  chmod 444 "secrets/$name"
done
echo 'made: .env, secrets/vault_passphrase, secrets/grafana_password'
