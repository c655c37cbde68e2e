#!/usr/bin/env bash
# Runs trackers and peers on this machine, from the build to a finished download.
#
#   ./run_local.sh              Starts two trackers and four peers, each with its own user. User 1
#                               makes a group, accepts the others, and shares one real file of over
#                               100 MB. The others download it at the same time. Half-way, tracker 1
#                               is killed. It is started again before the end.
#   ./run_local.sh FILE [PEERS] Does the same with your file and number of peers.
#   ./run_local.sh DIR          Plays a closed run: DIR has in1.txt, in2.txt, ... The result goes to
#                               $OUT, or to a temporary folder.
#
# The build shows its progress on standard error.
#
# $PIECEFUL names a binary to use instead of building one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
started=()
work=$(mktemp -d)

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Ends the processes that this script started, and no others.
clean_up() {
    local code=$?
    trap - EXIT INT TERM
    local id
    for id in "${started[@]}"; do kill -TERM "$id" 2>/dev/null || true; done
    for id in "${started[@]}"; do wait "$id" 2>/dev/null || true; done
    rm -rf "$work"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

build() {
    if [ -n "${PIECEFUL:-}" ]; then return; fi
    say "building; the first time this takes some minutes"
    cargo build --release --locked --manifest-path "$here/Cargo.toml"
    local target
    target=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/Cargo.toml" |
        sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    PIECEFUL=$target/release/pieceful
}

# Waits until process `$1` has written a line that matches `$3` to file `$2`.
wait_for() {
    while ! grep -q -- "$3" "$2" 2>/dev/null; do
        kill -0 "$1" 2>/dev/null || {
            cat "$2" "${2%.out}.err" >&2 2>/dev/null
            fail "process $1 ended early"
        }
        sleep 0.05
    done
}

# Starts a single tracker with the given options. Writes a TRACKER_INFO that pins its cluster.
start_tracker() {
    "$PIECEFUL" tracker --listen 127.0.0.1:0 --data "$work/tracker" "$@" \
        >"$work/tracker.out" 2>"$work/tracker.err" </dev/null &
    tracker=$!
    started+=("$tracker")
    wait_for "$tracker" "$work/tracker.out" '^fingerprint '
    # TRACKER_INFO has the tracker's address and fingerprint. So peers talk to this tracker only.
    sed -e 's/^tracker .* listening on //' "$work/tracker.out" >"$work/tracker_info.txt"
    say "tracker at $(head -n 1 "$work/tracker_info.txt")"
}

# Starts tracker number `$1` of TRACKER_INFO at address `$2`.
start_replica() {
    local number=$1
    : >"$work/tracker$number.out"
    "$PIECEFUL" tracker "$work/tracker_info.txt" "$number" \
        --listen "$2" --data "$work/data$number" \
        >"$work/tracker$number.out" 2>>"$work/tracker$number.err" </dev/null &
    replicas[number]=$!
    started+=("$!")
    wait_for "$!" "$work/tracker$number.out" '^fingerprint '
    replica_at[number]=$(sed -n 's/^tracker .* listening on //p' "$work/tracker$number.out")
}

# Starts two trackers that replicate each other. They take free ports, so TRACKER_INFO is written
# once these are known.
start_replicas() {
    printf '127.0.0.1:0\n127.0.0.1:0\n' >"$work/tracker_info.txt"
    start_replica 1 127.0.0.1:0
    start_replica 2 127.0.0.1:0
    printf '%s\n' "${replica_at[1]}" "${replica_at[2]}" \
        "$(sed -n '/^fingerprint /p' "$work/tracker1.out")" >"$work/new_info.txt"
    mv "$work/new_info.txt" "$work/tracker_info.txt"
    say "trackers at ${replica_at[1]} and ${replica_at[2]}"
}

# kill -9: the process ends at once. The machine goes on, and refuses the next connection.
kill_replica() {
    local killed=${replicas[$1]} id
    local -a left=()
    { kill -9 "$killed" && wait "$killed"; } 2>/dev/null || true
    for id in "${started[@]}"; do [ "$id" = "$killed" ] || left+=("$id"); done
    started=("${left[@]}")
}

# Waits until peer 1 reports that both trackers serve and lack no write.
wait_for_replicas() {
    local tries=0
    until ask 1 status && [ "$(grep -o '"state":"serving","lag":0' <<<"$answer" | wc -l)" = 2 ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || fail "the trackers are not in step: $answer"
        sleep 0.1
    done
}

# Starts peer number `$1` with the options that follow. Sets `peer` to its process id.
start_peer() {
    local number=$1
    shift
    mkdir -p "$work/peer$number"
    "$PIECEFUL" peer 127.0.0.1:0 "$work/tracker_info.txt" \
        --dir "$work/state$number" --name "peer $number" "$@" \
        >"$work/peer$number.out" 2>"$work/peer$number.err" </dev/null &
    peer=$!
    started+=("$peer")
}

address_of() { sed -n 's/^ {"event":"listening","address":"\(.*\)"}$/\1/p' "$work/peer$1.out"; }

# Starts peer number `$1`, which reads commands from `send_to` and answers each.
start_user() {
    local number=$1
    mkfifo "$work/in$number"
    exec {lines[$number]}<>"$work/in$number"
    mkdir -p "$work/peer$number"
    "$PIECEFUL" peer 127.0.0.1:0 "$work/tracker_info.txt" \
        --dir "$work/state$number" --name "peer $number" --json \
        >"$work/peer$number.out" 2>"$work/peer$number.err" <"$work/in$number" &
    ids[number]=$!
    started+=("$!")
    asked[number]=0
    wait_for "$!" "$work/peer$number.out" '^ {"event":"listening"'
}

# Sends a command to peer `$1`, and further lines if the command asks for them.
send_to() {
    local number=$1
    shift
    asked[number]=$((asked[number] + 1))
    printf '%s\n' "$@" >&"${lines[$number]}"
}

# Waits for the answer to the last command of peer `$1`. Sets `answer`. Ends the run if it failed.
read_answer() {
    local number=$1
    while [ "$(grep -c '^{' "$work/peer$number.out")" -lt "${asked[number]}" ]; do
        kill -0 "${ids[number]}" 2>/dev/null || {
            cat "$work/peer$number.err" >&2
            fail "peer $number ended early"
        }
        sleep 0.02
    done
    answer=$(grep '^{' "$work/peer$number.out" | sed -n "${asked[number]}p")
    case $answer in *'"ok":true'*) ;; *) fail "peer $number: $(message "$answer")" ;; esac
}

# Sends a command and waits for its answer.
ask() {
    send_to "$@"
    read_answer "$1"
}

quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

share_file() {
    local file=$1 peers=$2 number size hash copy password ok=0 answer name
    local -a lines=() asked=()
    file=$(realpath -- "$file")
    name=$(basename -- "$file")
    size=$(stat -c %s -- "$file")
    hash=$(sha1sum <"$file" | cut -d' ' -f1)
    start_replicas
    for number in $(seq 1 "$peers"); do start_user "$number"; done
    wait_for_replicas
    for number in $(seq 1 "$peers"); do
        password=$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')
        ask "$number" "create_user user$number" "$password"
        ask "$number" "login user$number" "$password"
    done
    say "$peers users are made and logged in"
    ask 1 "create_group team"
    for number in $(seq 2 "$peers"); do
        ask "$number" "join_group team"
        ask 1 "accept_request team user$number"
    done
    say "user1 owns the group team and has let the others in"
    say "sharing $name, $size bytes, SHA-1 $hash"
    ask 1 "upload_file team $(quoted "$file")"
    for number in $(seq 2 "$peers"); do
        send_to "$number" "download_file team $(quoted "$name") $(quoted "$work/peer$number/copy")"
    done
    for number in $(seq 2 "$peers"); do read_answer "$number"; done
    kill_half_way
    for number in $(seq 2 "$peers"); do send_to "$number" wait; done
    start_replica 1 "${replica_at[1]}"
    for number in $(seq 2 "$peers"); do
        read_answer "$number"
        ask "$number" show_downloads
    done
    say ""
    say "peer 1 at $(address_of 1): SHA-1 $hash (the original)"
    for number in $(seq 2 "$peers"); do
        copy=$(sha1sum <"$work/peer$number/copy" | cut -d' ' -f1)
        [ "$copy" = "$hash" ] || { ok=1; say "peer $number has other content"; }
        report "$number" "$copy"
    done
    summary "$peers" "$size"
    wait_for_replicas
    say "$killed; both trackers are in step again"
    return "$ok"
}

# Waits until peer 2 has half of its download, kills tracker 1, and lets peer 1 ask for the
# catalogue. Sets `killed` to a sentence about it.
kill_half_way() {
    local done=0 total=1 begun
    while [ "$((2 * done))" -lt "$total" ]; do
        ask 2 show_downloads
        done=$(field bytes_done "$answer")
        total=$(field bytes_total "$answer")
        case $answer in *'"state":"complete"'*) break ;; esac
    done
    [ "$total" -gt 0 ] || total=1 done=1
    kill_replica 1
    begun=$(date +%s%N)
    ask 1 "list_files team"
    local answered=$((($(date +%s%N) - begun) / 1000000))
    killed="tracker 1 was killed when peer 2 had $((100 * done / total)) %"
    killed+=", peer 1 was answered $answered ms later, and tracker 1 was started again"
}

# Prints the SHA-1 of the copy of peer `$1`, its time and rate, and how much each source sent.
report() {
    local number=$1 line seconds rate
    line=$(grep '^{"command":"show_downloads"' "$work/peer$number.out" | tail -n 1)
    seconds=$(field seconds "$line")
    rate=$(field rate "$line")
    say "peer $number at $(address_of "$number"): SHA-1 $2, $seconds s, $((rate / 1000000)) MB/s"
    sed 's/.*"from":{\([^}]*\)}.*/\1/' <<<"$line" | tr ',' '\n' |
        sed 's/^"\(.*\)":\([0-9]*\)$/\1 \2/' |
        while read -r source bytes; do
            # An empty file has no source.
            [ -n "$bytes" ] || continue
            say "    from $(name_of "$source"): $bytes bytes"
            printf '%s %s\n' "$source" "$bytes" >>"$work/sent"
        done
}

# The message of a failed command.
message() { sed 's/.*"message":"\(.*\)"}}$/\1/; s/\\\(["\\]\)/\1/g' <<<"$1"; }

field() { sed "s/.*\"$1\":\([0-9.]*\).*/\1/" <<<"$2"; }

name_of() {
    local out
    # A new file is all zeros, so pieces of zeros need not be sent.
    if [ "$1" = disk ]; then printf 'nobody (zeros)'; return; fi
    out=$(grep -lF -- "\"event\":\"listening\",\"address\":\"$1\"" "$work"/peer*.out | head -n 1 || true)
    if [ -n "$out" ]; then
        out=${out##*/peer}
        printf 'peer %s' "${out%.out}"
    else
        printf '%s' "$1"
    fi
}

summary() {
    local first all moved
    touch "$work/sent"
    first=$(awk -v a="$(address_of 1)" '$1 == a { n += $2 } END { printf "%.0f", n }' "$work/sent")
    all=$(awk '{ n += $2 } END { printf "%.0f", n }' "$work/sent")
    moved=$(awk '$1 != "disk" { n += $2 } END { printf "%.0f", n }' "$work/sent")
    say ""
    [ "$all" = "$((($1 - 1) * $2))" ] ||
        fail "the sources add up to $all bytes, not $((($1 - 1) * $2))"
    if [ "$moved" -gt 0 ]; then
        say "$moved bytes moved; $((100 - 100 * first / moved)) % of them did not come from peer 1"
    else
        say "no bytes had to move"
    fi
}

# Prints a file without white space at the ends of lines.
trimmed() { sed 's/[[:space:]]*$//' "$1"; }

run_scenario() {
    local folder=$1 out code=0 number file expected
    local count
    # in.txt, input.txt and the like are not clients.
    find "$folder" -maxdepth 1 -regex '.*/in[1-9][0-9]*\.txt' -print0 | sort -zV >"$work/files"
    count=$(tr -dc '\0' <"$work/files" | wc -c)
    [ "$count" -gt 0 ] || fail "$folder has no in1.txt"
    out=${OUT:-$work/out}
    mkdir -p "$out"
    start_tracker --expect "$count" --wait "${WAIT:-60}"
    number=0
    while IFS= read -r -d '' file; do
        number=$((number + 1))
        start_peer "$number" --scenario "$file" --out "$out"
        ids[number]=$peer
    done <"$work/files"
    # An input that cannot be read ends the run now, and not after the time-out of its client.
    for number in $(seq 1 "$count"); do
        until [ -s "$work/peer$number.out" ]; do
            kill -0 "${ids[number]}" 2>/dev/null || [ -s "$work/peer$number.out" ] || {
                cat "$work"/peer*.err >&2
                exit 1
            }
            sleep 0.05
        done
    done
    for number in $(seq 1 "$count"); do
        wait "${ids[number]}" || { code=1; cat "$work/peer$number.err" >&2; }
    done
    wait "$tracker" || { code=1; cat "$work/tracker.err" >&2; }
    if [ -d "$folder/expected" ]; then
        for expected in "$folder"/expected/client*; do
            [ -e "$expected" ] || continue
            file=$out/$(basename -- "$expected")
            if [ ! -f "$file" ]; then
                code=1
                say "$(basename -- "$expected") was not written"
            elif [ "$(trimmed "$expected")" != "$(trimmed "$file")" ]; then
                code=1
                say "$(basename -- "$expected") is not as expected"
            fi
        done
    fi
    local written
    written=$(find "$out" -maxdepth 1 -name 'client*' | wc -l)
    say "$written files written by $count clients${OUT:+ to $out}"
    return "$code"
}

largest_file() {
    find "$(rustc --print sysroot)" -type f -size +100M -printf '%s %p\n' 2>/dev/null |
        sort -rn | head -n 1 | cut -d' ' -f2-
}

main() {
    local peers=${2:-4}
    case ${1:-} in -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; return ;; esac
    [ $# -le 2 ] || fail "usage: run_local.sh [FILE [PEERS] | DIR]"
    case $peers in '' | *[!0-9]*) fail "PEERS is a number, not $peers" ;; esac
    [ "$peers" -ge 2 ] && [ "$peers" -le 100 ] || fail "PEERS is between 2 and 100"
    # Indexed arrays: a subscript is a number.
    declare -a ids=() replicas=() replica_at=()
    local file=${1:-}
    if [ -z "$file" ]; then
        file=$(largest_file)
        [ -n "$file" ] || fail "no file of over 100 MB below $(rustc --print sysroot); name one"
    fi
    [ -e "$file" ] || fail "$file does not exist"
    [ -d "$file" ] || [ -f "$file" ] || fail "$file is neither a file nor a folder"
    build
    if [ -d "$file" ]; then
        run_scenario "$file"
    else
        share_file "$file" "$peers"
    fi
}

main "$@"
