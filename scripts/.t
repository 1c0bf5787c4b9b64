#!/usr/bin/env bash
# Runs every test and installs what is missing for that (Debian with root or sudo; elsewhere it uses what is there):
#   1. a private PostgreSQL on a free port, in a temporary folder
#   2. the workspace's tests, on SQLite and on that PostgreSQL, and the examples in the documentation
#   3. the tests of the bench tools and of the client harness
#   4. the real client through `gatehouse serve`, on both stores, with the key in either header
#   5. the cost oracle, and the audit log of all that, verified offline
# Everything it starts it stops again. What cannot be had is said loudly and counts as skipped.
# Closes with one line: N passed, N failed (, N skipped).
set -uo pipefail
cd "$(dirname "$0")/.." || exit
# shellcheck source=scripts/tools
. scripts/tools

work=$(mktemp -d "${TMPDIR:-/tmp}/gatehouse-test-XXXXXX")
chmod 755 "$work"
passed=0 failed=0 skipped=0
declare -A started=() # process ids as keys
postgres_pid=

# Ends what is still running: politely, and after ten seconds for good.
cleanup() {
    local pid
    [ -z "$postgres_pid" ] || kill -INT "$postgres_pid" 2>/dev/null # a fast stop; SIGTERM would wait for its clients
    for pid in "${!started[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${!started[@]}" $postgres_pid; do
        wait_for 10 gone "$pid" || kill -KILL "$pid" 2>/dev/null
    done
    rm -rf "$work"
}
gone() { ! kill -0 "$1" 2>/dev/null; }
trap cleanup EXIT
trap 'exit 130' INT TERM

skip() {
    loud "$1: SKIPPED"
    skipped=$((skipped + ${2:-1}))
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local tries=$(($1 * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05
    done
}

# count NAME COMMAND...: runs one part, shows its output, and adds up the closing lines of nextest, cargo test and our
# own programs. A part that fails without having counted a failure is one failure.
count() {
    local name=$1 status sums closings p f s
    shift
    printf '\n== %s\n' "$name"
    "$@" > >(tee "$work/output") 2>&1
    status=$?
    wait $!
    sums=$(python3 - "$work/output" <<'PYTHON'
import re, sys
text = re.sub(r"\x1b\[[0-9;]*m", "", open(sys.argv[1], errors="replace").read())
total, closings = [0, 0, 0], 0
def add(passed, failed, skipped):
    global closings
    closings += 1
    for i, n in enumerate((passed, failed, skipped)):
        total[i] += int(n or 0)
for line in text.splitlines():
    if m := re.match(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", line):
        add(*m.groups())
    elif m := re.fullmatch(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?", line):
        add(*m.groups())
    elif re.match(r"\s*Summary \[.*\d+ tests? run", line):
        find = lambda word: sum(map(int, re.findall(r"(\d+) " + word, line)))
        add(find("passed"), find("failed") + find("timed out") + find("exec failed"), find("skipped"))
print(closings, *total)
PYTHON
    )
    read -r closings p f s <<<"$sums"
    if [ $status -ne 0 ] && [ "$f" -eq 0 ]; then
        f=1
        loud "$name ended with status $status without naming a failed test"
    elif [ "$closings" -eq 0 ]; then
        f=1
        loud "$name did not say how many tests it ran"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# --- PostgreSQL -----------------------------------------------------------------------------------------------------

start_postgres() {
    local bin port user=() home=$work/postgres
    # Debian keeps it out of PATH.
    PATH=$PATH:$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)
    debian initdb postgresql || return 1
    bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)
    [ -n "$bin" ] || bin=$(dirname "$(command -v initdb)")
    mkdir "$home"
    if [ "$(id -u)" -eq 0 ]; then # it refuses to run as root
        user=(setpriv --reuid=postgres --regid=postgres --init-groups)
        chown postgres: "$home"
    fi
    port=$(free_port)
    # Nothing kept here has to survive a crash of the machine, so it need not flush. Durability is the journal's.
    (cd "$home" && "${user[@]}" "$bin/initdb" --pgdata data --username gatehouse --auth trust --encoding UTF8 \
        --no-locale --no-sync >/dev/null) || return 1
    (cd "$home" && exec "${user[@]}" "$bin/postgres" -D data -p "$port" -k "$home" -c listen_addresses=127.0.0.1 \
        -c fsync=off -c max_connections=300 >log 2>&1) &
    postgres_pid=$!
    wait_for 30 "$bin/psql" -h 127.0.0.1 -p "$port" -U gatehouse -c 'SELECT 1' postgres || { cat "$home/log" >&2; return 1; }
    "$bin/createdb" -h 127.0.0.1 -p "$port" -U gatehouse served || return 1
    postgres=postgres://gatehouse@127.0.0.1:$port
    export GATEHOUSE_TEST_POSTGRES=$postgres/postgres
}

# --- the real client ------------------------------------------------------------------------------------------------

# serve STORE URL: a stub and a gatehouse in front of it; sets stub, base, key and data.
serve() {
    local store=$1 url=$2 ready
    data=$work/$store
    clienttests/stub_upstream.py --port-file "$data.stub" --token upstream-key >"$data.stub.log" 2>&1 &
    started[$!]=1
    wait_for 10 test -s "$data.stub" || { loud "the stub did not start"; return 1; }
    stub=http://127.0.0.1:$(cat "$data.stub")
    cat >"$data.toml" <<TOML
[listen]
gateway = "127.0.0.1:0"
admin = "127.0.0.1:0"
[store]
url = "$url"
[[provider]]
name = "stub"
kind = "anthropic"
base_url = "$stub"
api_key = "env:STUB_KEY"
TOML
    STUB_KEY=upstream-key GATEHOUSE_LOG=warn "$gatehouse" serve --config "$data.toml" --data-dir "$data" >"$data.log" 2>&1 &
    server=$!
    started[$server]=1
    wait_for 30 listening || { loud "gatehouse did not start on $store:"; cat "$data.log" >&2; return 1; }
    ready=$(listening)
    base=http://${ready#http://}
    wait_for 30 python3 -c "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('$base/readyz')" || {
        loud "gatehouse did not become ready on $store:"
        cat "$data.log" >&2
        return 1
    }
    command_line user add dev@example.com >/dev/null || return 1
    key=$(command_line key create --user dev@example.com | python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])')
}

listening() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["gateway"])' "$data/listen.json"; }
command_line() { "$gatehouse" --data-dir "$data" --json "$@"; }

# The audit log of everything that went through, exported and verified without the server.
audit_verifies() {
    if command_line audit export "$data.audit" && "$gatehouse" audit verify "$data.audit"; then
        echo "1 passed, 0 failed"
    else
        echo "0 passed, 1 failed"
        return 1
    fi
}

# SIGTERM must end the server by itself within 30 s, with status 0.
stops_cleanly() {
    local status=timeout
    kill "$server"
    if wait_for 30 gone "$server"; then
        wait "$server"
        status=$?
        unset "started[$server]"
    fi
    if [ $status = 0 ]; then
        echo "1 passed, 0 failed"
    else
        echo "after SIGTERM: $status"
        echo "0 passed, 1 failed"
        return 1
    fi
}

# The sign-in side is not part of this release, so its case is left out.
client_cases() {
    clienttests/run --skip signed-in --base-url "$base" --token "$key" --stub-url "$stub" --key-header "$1"
}
cost_oracle() {
    local exchanges
    printf -v exchanges '%q --data-dir %q --json exchanges' "$gatehouse" "$data"
    clienttests/cost --base-url "$base" --token "$key" --stub-url "$stub" --exchanges "$exchanges" "$@"
}

with_store() {
    local store=$1 url=$2
    shift 2
    if serve "$store" "$url"; then
        count "real client on $store, key as bearer token" client_cases authorization
        count "real client on $store, key as x-api-key" client_cases x-api-key
        count "real client on $store, key in both headers" client_cases both
        count "cost oracle on $store" cost_oracle "$@"
        count "audit log on $store" audit_verifies
        count "orderly end on $store" stops_cleanly
    else
        failed=$((failed + 1))
    fi
}

# --- all of it ------------------------------------------------------------------------------------------------------

debian python3 python3 || { loud "python3 is needed"; exit 2; }
debian cc gcc libc6-dev || { loud "a C compiler is needed"; exit 2; }

postgres=
start_postgres || skip "no PostgreSQL can be had: everything on PostgreSQL"

gatehouse=target/debug/gatehouse
with_store sqlite sqlite
with_store postgres "$postgres/served" --models claude-haiku-5-5,claude-opus-4-8
echo "$passed passed, $failed failed, $skipped skipped"
