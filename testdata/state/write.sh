#!/bin/sh
# Writes the state of a version into a folder: PIECEFUL=BINARY testdata/state/write.sh FOLDER
# It needs curl, gzip and the free ports 5000, 6881 and 6882. It works in the folder /tmp/before,
# which must not exist. The ports are fixed: a test uses free ports, so none of its processes has an
# address that this state contains.
set -eu
here=$(realpath "${1:?the folder that is to get the state}")
program=$(realpath "${PIECEFUL:?the binary that is to write the state}")
root=/tmp/before
address=127.0.0.1:5000

mkdir $root
cd $root
export HOME=$root TMPDIR=$root
unset XDG_DATA_HOME || true
started=
trap 'for process in $started; do kill "$process" || true; done' EXIT

# A file of numbered lines: PATH LINES.
lines() {
    mkdir -p "$(dirname "$1")"
    seq -f "%07g of $(basename "$1")" "$2" >"$1"
}

# Waits until a file has a line: FILE TEXT.
until_line() {
    for _ in $(seq 600); do
        if grep -qs -e "$2" "$1"; then return; fi
        sleep 0.1
    done
    echo "no $2 in $1" >&2
    exit 1
}

# Becomes a peer that runs commands: NAME OPTION... -- COMMAND...
become_peer() {
    name=$1
    shift
    options=
    while [ "$1" != -- ]; do
        options="$options $1"
        shift
    done
    shift
    for command in "$@"; do
        set -- "$@" -c "$command"
        shift
    done
    port=6882
    if [ "$name" = mayank ]; then port=6881; fi
    mkdir -p "$name"
    cd "$name"
    # shellcheck disable=SC2086
    exec "$program" peer 127.0.0.1:$port ../tracker_info.txt --dir "../$name.state" --name "$name" $options "$@"
}

# The same, to its end.
peer() {
    (become_peer "$@")
}

# The files.
lines nik/open.txt 500
lines nik/shared.txt 500
for name in handed late gone sought done; do lines mayank/$name.txt 600; done
lines mayank/part.txt 1500
for name in forced failed; do lines mayank/$name.txt 900; done
for folder in chosen extended; do
    lines mayank/$folder/a.txt 700
    lines mayank/$folder/b.txt 1500
    lines mayank/$folder/sub/c.txt 700
done
for name in done.txt part.txt forced.txt failed.txt chosen extended; do
    "$program" torrent create mayank/$name -o $name.torrent --piece-length 4K -t http://$address/announce
done

# The tracker, its users and their group.
mkfifo console
exec 3<>console
"$program" tracker --listen $address --data data --open <console >tracker.out &
tracker=$!
started=$tracker
until_line tracker.out fingerprint
echo $address >tracker_info.txt
echo invite >&3
printf 'create_user tina\npw of tina\n' >&3
peer vera -- 'create_user vera "pw of vera"'
peer nik -- 'create_user otto "pw of otto"' 'login otto "pw of otto"' logout \
    'create_user nik "first of nik"' 'login nik "first of nik"' 'change_password "first of nik" "pw of nik"' \
    'create_group lab' 'create_group ended' 'leave_group ended --yes'
peer mayank -- 'create_user mayank "pw of mayank"' 'login mayank "pw of mayank"' 'join_group lab' 'create_group other'
for name in vera otto; do
    peer $name -- "login $name \"pw of $name\"" 'join_group lab' logout
done
peer nik -- 'accept_request lab mayank' 'accept_request lab otto' 'remove_member lab otto'

# What Mayank has. He seeds slowly.
peer mayank -- 'upload_file lab handed.txt' 'upload_file lab late.txt' 'upload_file lab gone.txt' \
    'stop_share lab gone.txt' 'send sought.txt' \
    'download ../done.txt.torrent .' 'download ../part.txt.torrent .' 'download ../forced.txt.torrent .' \
    'download ../failed.txt.torrent .' 'download ../chosen.torrent .' 'download ../extended.torrent .' wait
become_peer mayank --json --stay --up 8K -- show_downloads >mayank.out &
seed=$!
started="$started $seed"
until_line mayank.out downloads

# What Nik has: all of it, a part, or a finished choice.
peer nik -- 'send open.txt' 'upload_file lab shared.txt' 'download_file lab handed.txt' \
    'download ../done.txt.torrent' 'download ../chosen.torrent --only a.txt' \
    'download ../extended.torrent --only a.txt' wait
# Something else takes the final name, so that the download fails when it is complete.
(
    for _ in $(seq 600); do
        if [ -e nik/failed.txt.part ]; then break; fi
        sleep 0.01
    done
    lines nik/failed.txt 3
) &
peer nik -- 'download ../failed.txt.torrent' 'wait 30' || true
peer nik --json -- 'download ../part.txt.torrent --sequential' 'download ../extended.torrent --only b.txt' \
    'wait 2' show_downloads || true
kill $seed
wait $seed || true
started=$tracker
magnet=$("$program" torrent show mayank/sought.txt.torrent | grep -o 'magnet:[^ ]*' | sed 's/&tr=.*//')
lines nik/forced.txt 5
peer nik --json -- 'download_file lab late.txt' 'download ../forced.txt.torrent --force' \
    "download '$magnet&x.pe=127.0.0.1:1' --sequential" 'wait 1' show_downloads status list_groups 'list_members lab' \
    'list_requests lab' 'list_files lab' || true

# A swarm of others.
curl -sS -o announced "http://$address/announce?info_hash=%01%02%03%04%05%06%07%08%09%0a%0b%0c%0d%0e%0f%10%11%12%13%14&\
peer_id=-XX0000-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=0&compact=1&event=completed"
kill $tracker
wait $tracker
started=
"$program" tracker --data data --dump >dump.json

# Without locks, sockets and logs.
gzip -9n data/registry.redb
for folder in data nik nik.state mayank mayank.state; do
    rm -rf "${here:?}/$folder"
    rm -f $folder/lock $folder/attach $folder/*.log
    cp -R $folder "$here/"
done
cp dump.json "$here/"
cd /
rm -r $root
