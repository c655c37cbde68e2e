#!/usr/bin/env bash
# Trackers and peers on this machine, from nothing to a finished run.
#
#   ./run_local.sh              two trackers and four peers with a user each; one of them makes a group, lets the others in
#                               and shares one real file of over 100 MB, which the others download at once; half-way
#                               through, the first tracker is killed, and started again before the end
#   ./run_local.sh FILE [PEERS] the same with your file and number of peers
#   ./run_local.sh DIR          a closed run: DIR holds in1.txt, in2.txt, ...; writes to $OUT or a temporary folder
#
# $PIECEFUL names a binary to use instead of building one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
started=()
work=$(mktemp -d)

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Ends what this script started, and nothing else, whatever ended it.
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
    say "building ..."
    cargo build --release --locked --quiet --manifest-path "$here/Cargo.toml"
    local target
    target=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/Cargo.toml" |
        sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    PIECEFUL=$target/release/pieceful
}

# Waits until the process `$1` has written a line into the file `$2` that matches `$3`.
wait_for() {
    while ! grep -q -- "$3" "$2" 2>/dev/null; do
        kill -0 "$1" 2>/dev/null || { cat "$2" "${2%.out}.err" >&2 2>/dev/null; fail "process $1 ended early"; }
        sleep 0.05
    done
}

# Starts a tracker alone with the options given and writes TRACKER_INFO, which pins it.
start_tracker() {
    "$PIECEFUL" tracker --listen 127.0.0.1:0 --data "$work/tracker" "$@" >"$work/tracker.out" 2>"$work/tracker.err" </dev/null &
    tracker=$!
    started+=("$tracker")
    wait_for "$tracker" "$work/tracker.out" '^fingerprint '
    # Where it is, and the fingerprint that lets the peers talk to no other.
    sed -e 's/^tracker .* listening on //' "$work/tracker.out" >"$work/tracker_info.txt"
    say "tracker at $(head -n 1 "$work/tracker_info.txt")"
}

# Starts tracker number `$1` of TRACKER_INFO at the address `$2`.
start_twin() {
    local number=$1
    : >"$work/tracker$number.out"
    "$PIECEFUL" tracker "$work/tracker_info.txt" "$number" --listen "$2" --data "$work/data$number" \
        >"$work/tracker$number.out" 2>>"$work/tracker$number.err" </dev/null &
    twins[number]=$!
    started+=("$!")
    wait_for "$!" "$work/tracker$number.out" '^fingerprint '
    twin_at[number]=$(sed -n 's/^tracker .* listening on //p' "$work/tracker$number.out")
}

# Starts two trackers that keep each other current. Their ports are free ones, written down once they are known.
start_twins() {
    printf '127.0.0.1:0\n127.0.0.1:0\n' >"$work/tracker_info.txt"
    start_twin 1 127.0.0.1:0
    start_twin 2 127.0.0.1:0
    printf '%s\n' "${twin_at[1]}" "${twin_at[2]}" "$(sed -n '/^fingerprint /p' "$work/tracker1.out")" >"$work/new_info.txt"
    mv "$work/new_info.txt" "$work/tracker_info.txt"
    say "trackers at ${twin_at[1]} and ${twin_at[2]}"
}

# kill -9: the process ends at once; its machine goes on and refuses the next connection.
kill_twin() {
    local killed=${twins[$1]} id
    local -a left=()
    { kill -9 "$killed" && wait "$killed"; } 2>/dev/null || true
    for id in "${started[@]}"; do [ "$id" = "$killed" ] || left+=("$id"); done
    started=("${left[@]}")
}

# Waits until the trackers that peer 1 sees both serve and lack nothing.
wait_for_twins() {
    local tries=0
    until ask 1 status && [ "$(grep -o '"state":"serving","lag":0' <<<"$answer" | wc -l)" = 2 ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || fail "the trackers are not in step: $answer"
        sleep 0.1
    done
}

# Starts peer number `$1` with further options; its id is in `peer`.
start_peer() {
    local number=$1
    shift
    mkdir -p "$work/peer$number"
    "$PIECEFUL" peer 127.0.0.1:0 "$work/tracker_info.txt" --dir "$work/state$number" --name "peer $number" "$@" \
        >"$work/peer$number.out" 2>"$work/peer$number.err" </dev/null &
    peer=$!
    started+=("$peer")
}

address_of() { sed -n 's/^peer listening on //p' "$work/peer$1.out"; }

# Starts peer number `$1` as a person has it: commands come in by `say_to`, one answer each.
start_person() {
    local number=$1
    mkfifo "$work/in$number"
    exec {lines[$number]}<>"$work/in$number"
    mkdir -p "$work/peer$number"
    "$PIECEFUL" peer 127.0.0.1:0 "$work/tracker_info.txt" --dir "$work/state$number" --name "peer $number" --json \
        >"$work/peer$number.out" 2>"$work/peer$number.err" <"$work/in$number" &
    ids[number]=$!
    started+=("$!")
    asked[number]=0
    wait_for "$!" "$work/peer$number.out" '^peer listening on '
}

# Gives peer `$1` a command, and the lines that follow it if it asks for any.
say_to() {
    local number=$1
    shift
    asked[number]=$((asked[number] + 1))
    printf '%s\n' "$@" >&"${lines[$number]}"
}

# Waits for the answer to the last command of peer `$1`; one that failed ends the run. The answer is in `answer`.
hear() {
    local number=$1
    while [ "$(grep -c '^{' "$work/peer$number.out")" -lt "${asked[number]}" ]; do
        kill -0 "${ids[number]}" 2>/dev/null || { cat "$work/peer$number.err" >&2; fail "peer $number ended early"; }
        sleep 0.02
    done
    answer=$(grep '^{' "$work/peer$number.out" | sed -n "${asked[number]}p")
    case $answer in *'"ok":true'*) ;; *) fail "peer $number: $(message "$answer")" ;; esac
}

# The same for a command and its answer.
ask() {
    say_to "$@"
    hear "$1"
}

quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

share_file() {
    local file=$1 peers=$2 number size hash copy password ok=0 answer name
    local -a lines=() asked=()
    file=$(realpath -- "$file")
    name=$(basename -- "$file")
    size=$(stat -c %s -- "$file")
    hash=$(sha1sum <"$file" | cut -d' ' -f1)
    start_twins
    for number in $(seq 1 "$peers"); do start_person "$number"; done
    wait_for_twins
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
        say_to "$number" "download_file team $(quoted "$name") $(quoted "$work/peer$number/copy")"
    done
    for number in $(seq 2 "$peers"); do hear "$number"; done
    kill_half_way
    for number in $(seq 2 "$peers"); do say_to "$number" wait; done
    start_twin 1 "${twin_at[1]}"
    for number in $(seq 2 "$peers"); do
        hear "$number"
        ask "$number" show_downloads
    done
    say ""
    say "peer 1 at $(address_of 1): SHA-1 $hash (the original)"
    for number in $(seq 2 "$peers"); do
        copy=$(sha1sum <"$work/peer$number/copy" | cut -d' ' -f1)
        [ "$copy" = "$hash" ] || { ok=1; say "peer $number holds another content"; }
        report "$number" "$copy"
    done
    summary "$peers" "$size"
    wait_for_twins
    say "$killed; both trackers are in step again"
    return "$ok"
}

# Waits until peer 2 has half of its download, kills the first tracker, and has peer 1 ask something all the same. What there
# is to say about it is in `killed`.
kill_half_way() {
    local done=0 total=1 begun
    while [ "$((2 * done))" -lt "$total" ]; do
        ask 2 show_downloads
        done=$(field bytes_done "$answer")
        total=$(field bytes_total "$answer")
        case $answer in *'"state":"complete"'*) break ;; esac
    done
    [ "$total" -gt 0 ] || total=1 done=1
    kill_twin 1
    begun=$(date +%s%N)
    ask 1 "list_files team"
    killed="tracker 1 was killed when peer 2 had $((100 * done / total)) %, peer 1 was answered $((($(date +%s%N) - begun) / 1000000)) ms later"
    killed+=", and tracker 1 was started again"
}

# One peer's SHA-1 as measured on its copy, its time and speed, and who sent it how much.
report() {
    local number=$1 line seconds rate
    line=$(grep '^{"command":"show_downloads"' "$work/peer$number.out" | tail -n 1)
    seconds=$(field seconds "$line")
    rate=$(field rate "$line")
    say "peer $number at $(address_of "$number"): SHA-1 $2, $seconds s, $((rate / 1000000)) MB/s"
    sed 's/.*"from":{\([^}]*\)}.*/\1/' <<<"$line" | tr ',' '\n' | sed 's/^"\(.*\)":\([0-9]*\)$/\1 \2/' |
        while read -r source bytes; do
            # An empty file comes from nobody.
            [ -n "$bytes" ] || continue
            say "    from $(name_of "$source"): $bytes bytes"
            printf '%s %s\n' "$source" "$bytes" >>"$work/sent"
        done
}

# The message of a command's error, as a person would see it.
message() { sed 's/.*"message":"\(.*\)"}}$/\1/; s/\\\(["\\]\)/\1/g' <<<"$1"; }

field() { sed "s/.*\"$1\":\([0-9.]*\).*/\1/" <<<"$2"; }

name_of() {
    local out
    # Pieces of zeros are in the new file already and need no sending.
    if [ "$1" = disk ]; then printf 'nobody, being zeros'; return; fi
    out=$(grep -lx -- "peer listening on $1" "$work"/peer*.out | head -n 1 || true)
    if [ -n "$out" ]; then out=${out##*/peer}; printf 'peer %s' "${out%.out}"; else printf '%s' "$1"; fi
}

summary() {
    local first all moved
    touch "$work/sent"
    first=$(awk -v a="$(address_of 1)" '$1 == a { n += $2 } END { printf "%.0f", n }' "$work/sent")
    all=$(awk '{ n += $2 } END { printf "%.0f", n }' "$work/sent")
    moved=$(awk '$1 != "disk" { n += $2 } END { printf "%.0f", n }' "$work/sent")
    say ""
    [ "$all" = "$((($1 - 1) * $2))" ] || fail "the sources add up to $all bytes, not $((($1 - 1) * $2))"
    if [ "$moved" -gt 0 ]; then
        say "$moved bytes moved; $((100 - 100 * first / moved)) % of them did not come from peer 1"
    else
        say "no bytes had to move"
    fi
}

run_scenario() {
    local folder=$1 out code=0 number file expected
    local count
    # Not in.txt, input.txt or the like, which are no clients.
    find "$folder" -maxdepth 1 -regex '.*/in[1-9][0-9]*\.txt' -print0 | sort -zV >"$work/files"
    count=$(tr -dc '\0' <"$work/files" | wc -c)
    [ "$count" -gt 0 ] || fail "$folder holds no in1.txt"
    out=${OUT:-$work/out}
    mkdir -p "$out"
    start_tracker --expect "$count" --wait "${WAIT:-60}"
    number=0
    while IFS= read -r -d '' file; do
        number=$((number + 1))
        start_peer "$number" --scenario "$file" --out "$out"
        ids[number]=$peer
    done <"$work/files"
    # A file that cannot be read ends the run now, rather than when its client has not reported for long enough.
    for number in $(seq 1 "$count"); do
        until [ -s "$work/peer$number.out" ]; do
            kill -0 "${ids[number]}" 2>/dev/null || [ -s "$work/peer$number.out" ] || { cat "$work"/peer*.err >&2; exit 1; }
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
            elif [ "$(sed 's/[[:space:]]*$//' "$expected")" != "$(sed 's/[[:space:]]*$//' "$file")" ]; then
                code=1
                say "$(basename -- "$expected") is not as expected"
            fi
        done
    fi
    say "$(find "$out" -maxdepth 1 -name 'client*' | wc -l) files written by $count clients$([ -n "${OUT:-}" ] && printf ' to %s' "$out")"
    return "$code"
}

largest_file() {
    find "$(rustc --print sysroot)" -type f -size +100M -printf '%s %p\n' 2>/dev/null | sort -rn | head -n 1 | cut -d' ' -f2-
}

main() {
    local peers=${2:-4}
    case ${1:-} in -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; return ;; esac
    [ $# -le 2 ] || fail "usage: run_local.sh [FILE [PEERS] | DIR]"
    case $peers in '' | *[!0-9]*) fail "PEERS is a number, not $peers" ;; esac
    [ "$peers" -ge 2 ] && [ "$peers" -le 100 ] || fail "PEERS is between 2 and 100"
    # Indexed, so that a subscript is the number that the variable holds.
    declare -a ids=() twins=() twin_at=()
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
