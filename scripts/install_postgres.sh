#!/bin/sh
# Install PostgreSQL from Debian's packages where there is none, for the tests of the ledger on it; says so where it cannot.
set -u
command -v postgres >/dev/null 2>&1 && exit 0
for program in /usr/lib/postgresql/*/bin/postgres; do
    [ -x "$program" ] && exit 0
done
say() { printf '==> %s\n' "$1" >&2; }
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
    say "there is no PostgreSQL, and it cannot be installed here: the tests take the wheel's, if there is one (or install the package postgresql)"
    exit 0
fi
say "installing PostgreSQL from Debian's packages, for the tests of the ledger on it"
export DEBIAN_FRONTEND=noninteractive
{ apt-get install -y --no-install-recommends postgresql || { apt-get update && apt-get install -y --no-install-recommends postgresql; }; } >/dev/null ||
    say "PostgreSQL could not be installed: the tests take the wheel's, if there is one"
