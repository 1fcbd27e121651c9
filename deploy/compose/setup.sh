#!/bin/sh
# Makes what the compose files mount and nobody should commit: .env, and a secret for each file that they name. Safe to repeat.
set -eu
cd "$(dirname "$0")"
umask 077
[ -f .env ] || cp .env.example .env
# The folder is closed; the files in it are for containers whose users are not you.
chmod 700 secrets
for name in vault_passphrase grafana_password redis_password redis_key; do
  [ -s "secrets/$name" ] || head -c 32 /dev/urandom | base64 | tr -d '\n' >"secrets/$name"
  chmod 444 "secrets/$name"
done
# The one account of Redis, by the hash of its password; it may do what a replica needs (README.md, Replicas).
hash=$(sha256sum secrets/redis_password | cut -d ' ' -f 1)
rm -f secrets/redis_acl
cat >secrets/redis_acl <<EOF
user default off
user sallyport on #$hash ~sallyport:* &sallyport:* -@all +auth +select +ping +eval +subscribe +publish +time +hget +hmget +hset +hdel +hlen +hgetall +pexpire +zadd +zrem +zrange +zrangebyscore +zscore
EOF
chmod 444 secrets/redis_acl
echo 'made: .env, and in secrets/: vault_passphrase, grafana_password, redis_password, redis_key, redis_acl'
