#!/usr/bin/env bash
# Transfers the same file through a group and through an open swarm in turns, from one seed to one
# leech over loopback. Prints both rates and their ratio.
#
#   benches/groups.sh [MIB [ROUNDS]]     default: 512 MiB and 4 rounds
#
# $PIECEFUL names the binary (default: target/release/pieceful).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pieceful=${PIECEFUL:-$here/target/release/pieceful}
mib=${1:-512}
rounds=${2:-4}
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

# Runs a peer with the state folder $1 and the given commands until it ends.
run_peer() {
    local name=$1 command arguments=()
    shift
    for command in "$@"; do arguments+=(-c "$command"); done
    "$pieceful" peer 127.0.0.1:0 "$work/info" --dir "$work/$name" --json "${arguments[@]}" </dev/null
}

rate_of() { sed -n '/show_downloads/s/.*"rate":\([0-9]*\).*/\1/p'; }

"$pieceful" tracker --listen 127.0.0.1:0 --open --data "$work/tracker" >"$work/tracker.out" </dev/null &
started+=("$!")
wait_for "$work/tracker.out" fingerprint
sed 's/^tracker .* listening on //' "$work/tracker.out" >"$work/info"
head -c "$((mib << 20))" /dev/urandom >"$work/big"
run_peer seed 'create_user nik pw-of-nik' 'login nik pw-of-nik' 'create_group lab' >/dev/null
run_peer leech 'create_user uma pw-of-uma' 'login uma pw-of-uma' 'join_group lab' >/dev/null
"$pieceful" peer 127.0.0.1:0 "$work/info" --dir "$work/seed" --json --stay -c 'accept_request lab uma' \
    -c "upload_file lab '$work/big'" -c "send '$work/big' '$work/big.torrent'" -c status >"$work/seed.out" </dev/null &
started+=("$!")
wait_for "$work/seed.out" '"status"'
for round in $(seq 1 "$rounds"); do
    open=$(run_peer "leech$round" "download '$work/big.torrent' '$work/open'" wait show_downloads | rate_of)
    group=$(run_peer leech "download_file lab big '$work/group'" wait show_downloads 'stop_share lab big' | rate_of)
    cmp "$work/big" "$work/open"
    cmp "$work/big" "$work/group"
    rm -rf "$work/open" "$work/group" "$work/leech$round"
    printf 'round %s: open %s MB/s, group %s MB/s, ratio %s\n' "$round" "$((open / 1000000))" "$((group / 1000000))" \
        "$(awk "BEGIN { printf \"%.2f\", $group / $open }")"
done
