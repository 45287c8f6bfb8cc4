#!/bin/sh
# Runs a command beside a PostgreSQL server of its own, in a temporary folder that is removed at the end:
#
#     scripts/postgresql_here.sh actbench -m +search=tpe 'hydra.sweeper.storage=${oc.env:STORAGE}' ...
#
# $STORAGE is the address of an empty database, with a password; $PGPORT the port on 127.0.0.1. Exit code 77: there is no
# PostgreSQL on this machine (Debian: apt-get install postgresql), and the command was not run.
set -eu
export LC_ALL=C

tools=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
[ -n "$tools" ] || tools=$(dirname "$(command -v initdb || echo /nowhere/initdb)")
if [ ! -x "$tools/initdb" ] || [ ! -x "$tools/pg_ctl" ]; then
    echo "skipped: there is no PostgreSQL here (Debian: apt-get install postgresql)" >&2
    exit 77
fi
if [ "$(id -u)" = 0 ]; then # as root the server refuses to start
    id postgres >/dev/null 2>&1 && user=postgres || user=nobody
    as() { runuser -u "$user" -- "$@"; }
else
    as() { "$@"; }
fi

folder=$(mktemp -d /tmp/postgresql_here.XXXXXX)
chmod 755 "$folder"
stop() {
    (cd / && as "$tools/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1) || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM HUP

echo "secret of actbench" >"$folder/password"
chmod 644 "$folder/password"
mkdir "$folder/data"
[ "$(id -u)" != 0 ] || chown "$user" "$folder" "$folder/data"
PGPORT=${PGPORT:-$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')}
export PGPORT
cd_and_run() { (cd / && as "$@"); }
cd_and_run "$tools/initdb" -D "$folder/data" -U searcher -A scram-sha-256 --pwfile="$folder/password" -E UTF8 --no-sync \
    >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }
cd_and_run "$tools/pg_ctl" -D "$folder/data" -w -t 60 -l "$folder/data/log" \
    -o "-c listen_addresses=127.0.0.1 -c port=$PGPORT -c unix_socket_directories=$folder -c fsync=off" start \
    >"$folder/log" 2>&1 || { cat "$folder/log" "$folder/data/log" >&2; exit 1; }
export PGPASSWORD="secret of actbench"
cd_and_run env PGPASSWORD="$PGPASSWORD" "$tools/createdb" -h 127.0.0.1 -p "$PGPORT" -U searcher search
unset PGPASSWORD

export STORAGE="postgresql://searcher:secret%20of%20actbench@127.0.0.1:$PGPORT/search"
"$@"
