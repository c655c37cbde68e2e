#!/usr/bin/env bash
# Measures how many announces a second our tracker and opentracker answer, in turns in one run. wrk
# measures HTTP, with connections that stay open and with a connection for each announce.
# benches/announces.rs measures UDP. Both trackers have the same swarms and peers.
#
#   benches/opentracker.sh [SECONDS [ROUNDS]]     default: 5 s for each measurement and 3 rounds
#
# Needs opentracker and wrk (Debian has both). $PIECEFUL names the binary (default:
# target/release/pieceful).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pieceful=${PIECEFUL:-$here/target/release/pieceful}
seconds=${1:-5}
rounds=${2:-3}
work=$(mktemp -d)
chmod 755 "$work" # opentracker, started by root, reads it as the user nobody
started=()
clean_up() {
    local id
    for id in "${started[@]}"; do kill "$id" 2>/dev/null || true; done
    for id in "${started[@]}"; do wait "$id" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Debian's opentracker serves only listed swarms.
rest=$(printf '01%.0s' {1..16})
for swarm in $(seq 0 999); do printf '%08x%s\n' "$swarm" "$rest"; done >"$work/listed"
theirs=127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
opentracker -i "${theirs%:*}" -p "${theirs#*:}" -P "${theirs#*:}" -u nobody -w listed -d "$work" >/dev/null 2>&1 &
started+=($!)
their_id=$!
"$pieceful" tracker --open --listen 127.0.0.1:0 --data "$work/ours" >"$work/out" &
started+=($!)
our_id=$!
while ! grep -q listening "$work/out"; do sleep 0.02; done
ours=$(sed -n '1s/.* //p' "$work/out")

rate() { awk '/^Requests\/sec/ { printf "%d", $2 }'; }
http() { wrk --threads 1 --connections 16 --duration "$seconds" --script "$here/benches/announces.lua" "http://$1/" -- "${@:2}" | rate; }
udp() { (cd "$here" && cargo bench --quiet --bench announces -- "$1" "$2" "$seconds"); }

echo "filling the swarms"
udp "$theirs" "$their_id" >/dev/null
udp "$ours" "$our_id" >/dev/null
for round in $(seq "$rounds"); do
    echo "round $round"
    echo "  HTTP, connections stay: ours $(http "$ours"), opentracker $(http "$theirs") announces/s (opentracker closes each)"
    echo "  HTTP, one announce each: ours $(http "$ours" close), opentracker $(http "$theirs" close) announces/s"
    udp "$ours" "$our_id" | sed 's/^/  ours, /'
    udp "$theirs" "$their_id" | sed 's/^/  opentracker, /'
done
