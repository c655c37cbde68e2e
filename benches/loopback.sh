#!/usr/bin/env bash
# Transfers from one seed to one leech over loopback, with files in memory. Prints the rate, the
# peak memory of each side, and the time from the command to the complete file for a file of 1 MiB.
#
#   benches/loopback.sh [MIB [ROUNDS]]     default: 1024 MiB and 5 rounds
#
# $PIECEFUL names the binary (default: target/release/pieceful). $LIMIT names an optional program
# `LIMIT FILE OUT` that does only the bare work of moving FILE over one link. It runs before each
# round, so that both rates of a ratio are measured at nearly the same time.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pieceful=${PIECEFUL:-$here/target/release/pieceful}
mib=${1:-1024}
rounds=${2:-5}
work=$(mktemp -d -p /dev/shm)
started=()
clean_up() {
    local id
    for id in "${started[@]}"; do kill "$id" 2>/dev/null || true; done
    for id in "${started[@]}"; do wait "$id" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

wait_for() { while ! grep -q -- "$2" "$1" 2>/dev/null; do sleep 0.02; done; }

# Starts a peer that runs the given commands and stays. Its process id is in `peer`.
start_peer() {
    local name=$1 command arguments=()
    shift
    for command in "$@"; do arguments+=(-c "$command"); done
    "$pieceful" peer 127.0.0.1:0 "$work/info" --dir "$work/$name" --json --stay "${arguments[@]}" >"$work/$name.out" </dev/null &
    peer=$!
    started+=("$peer")
}

end() {
    kill "$1"
    wait "$1" 2>/dev/null || true
}

# The peak memory of a process in KiB, without mapped files.
peak() { awk '/VmHWM/ { all = $2 } /RssFile/ { file = $2 } END { print all - file }' "/proc/$1/status"; }

"$pieceful" tracker --listen 127.0.0.1:0 --open --data "$work/tracker" >"$work/tracker.out" </dev/null &
started+=("$!")
wait_for "$work/tracker.out" listening
sed -n 's/^tracker .* listening on //p' "$work/tracker.out" >"$work/info"
head -c "$((mib << 20))" /dev/urandom >"$work/big"
head -c "$((1 << 20))" /dev/urandom >"$work/small"
start_peer seed "send '$work/big' '$work/big.torrent'" "send '$work/small' '$work/small.torrent'" status
seed=$peer
wait_for "$work/seed.out" '"status"'

for round in $(seq 1 "$rounds"); do
    bare=
    if [ -n "${LIMIT:-}" ]; then
        bare=$("$LIMIT" "$work/big" "$work/bare" | awk '/hash/ { print $(NF - 1) }')
    fi
    start_peer "leech$round" "download '$work/big.torrent' '$work/copy'" wait show_downloads
    wait_for "$work/leech$round.out" show_downloads
    rate=$(sed -n '/show_downloads/s/.*"rate":\([0-9]*\).*/\1/p' "$work/leech$round.out")
    printf 'round %s: %s MB/s, leech peak %s KiB' "$round" "$((rate / 1000000))" "$(peak "$peer")"
    if [ -n "$bare" ]; then printf ', bare work %s MB/s, ratio %s' "$bare" "$(awk "BEGIN { printf \"%.2f\", $rate / 1e6 / $bare }")"; fi
    printf '\n'
    cmp "$work/big" "$work/copy"
    end "$peer"
    rm -rf "$work/copy" "$work/leech$round" "$work/leech$round.out"
done
printf 'seed peak %s KiB\n' "$(peak "$seed")"

coproc leech { exec "$pieceful" peer 127.0.0.1:0 "$work/info" --dir "$work/quick" --json; }
# shellcheck disable=SC2154
started+=("$leech_PID")
read -r _ <&"${leech[0]}"
for round in $(seq 1 "$rounds"); do
    start=$(date +%s%N)
    printf "download '%s' '%s'\nwait\n" "$work/small.torrent" "$work/quick$round" >&"${leech[1]}"
    read -r _ <&"${leech[0]}"
    read -r answer <&"${leech[0]}"
    end=$(date +%s%N)
    case $answer in *'"ok":true'*) ;; *) echo "$answer"; exit 1 ;; esac
    printf '1 MiB, round %s: %s ms\n' "$round" "$(((end - start) / 1000000))"
    # The next round needs a new state folder: a complete file is not downloaded twice.
    kill "$leech_PID"; wait "$leech_PID" 2>/dev/null || true
    rm -rf "$work/quick"
    [ "$round" = "$rounds" ] && break
    coproc leech { exec "$pieceful" peer 127.0.0.1:0 "$work/info" --dir "$work/quick" --json; }
    started+=("$leech_PID")
    read -r _ <&"${leech[0]}"
done
