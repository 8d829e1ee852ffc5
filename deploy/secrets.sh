#!/bin/sh
# Writes ./secrets for compose.yaml: a file for each secret, made up by the kernel, each only where none is yet.
set -eu
cd "$(dirname "$0")/.."
mkdir -p secrets
# The files can be read by the containers' users, the directory by nobody else on this machine.
chmod 700 secrets
umask 022

word() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }
keep() { test -s "secrets/$1" || { printf '%s' "$2" > "secrets/$1.new" && mv "secrets/$1.new" "secrets/$1"; }; }

keep secret_key "$(word 32)"
keep postgres_password "$(word 16)"
keep redis_password "$(word 16)"
keep grafana_password "$(word 12)"
# Upper case, lower case and digits, as the policy for passwords wants them.
keep first_superuser_password "Tp-$(word 12)"
keep database_url "postgresql://tradepost:$(cat secrets/postgres_password)@db:5432/tradepost"
keep pgbouncer_url "postgresql://tradepost:$(cat secrets/postgres_password)@pgbouncer:6432/tradepost"
keep pgbouncer_users "\"tradepost\" \"$(cat secrets/postgres_password)\""
keep redis_url "redis://:$(cat secrets/redis_password)@redis:6379/0"
echo "The first administrator's password is in secrets/first_superuser_password"
