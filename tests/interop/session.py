"""A libtorrent session that a test drives.

It reads commands from standard input, one JSON object per line: {"do": COMMAND, ...}. It answers
each with one JSON object on standard output, and ends at the end of its input. The only argument is
an object of settings that replace or extend those below.
"""

import json
import os
import sys
import time

import libtorrent as lt

# All clients have the same address. They find each other only by trackers. No torrent waits in a
# queue, and no call waits for an attempt over uTP.
SETTINGS = {
    "listen_interfaces": "127.0.0.1:0",
    "allow_multiple_connections_per_ip": True,
    "enable_outgoing_utp": False,
    "active_downloads": -1,
    "active_seeds": -1,
    "active_limit": -1,
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "alert_mask": lt.alert.category_t.error_notification
    | lt.alert.category_t.status_notification
    | lt.alert.category_t.storage_notification
    | lt.alert.category_t.tracker_notification
    | lt.alert.category_t.peer_notification
    | lt.alert.category_t.connect_notification,
    "alert_queue_size": 100_000,
}

# Alerts that a peer never causes if it follows the protocol and the disk works.
COMPLAINTS = (
    lt.peer_ban_alert,
    lt.peer_error_alert,
    lt.hash_failed_alert,
    lt.invalid_request_alert,
    lt.file_error_alert,
    lt.torrent_error_alert,
    lt.tracker_error_alert,
    lt.tracker_warning_alert,
    lt.udp_error_alert,
    lt.alerts_dropped_alert,
)


class Session:
    def __init__(self, settings):
        self.session = lt.session({**SETTINGS, **settings})
        self.torrents = []
        self.complaints = []
        self.alerts = []

    def listen(self, _):
        """The port at which libtorrent listens, and its version."""
        return {"port": self.session.listen_port(), "version": lt.__version__}

    def make(self, command):
        """Writes a .torrent of version 1, or a hybrid one."""
        path = command["path"]
        files = lt.file_storage()
        lt.add_files(files, path)
        kind = 0 if command.get("hybrid") else lt.create_torrent.v1_only
        made = lt.create_torrent(files, command.get("piece_length", 0), kind)
        for tier, url in enumerate(command["trackers"]):
            made.add_tracker(url, tier)
        lt.set_piece_hashes(made, os.path.dirname(path))
        with open(command["out"], "wb") as out:
            out.write(lt.bencode(made.generate()))
        return {}

    def read(self, command):
        """For each .torrent its version 1 info-hash and privacy, or the reason of the refusal."""
        return {"read": [read(torrent) for torrent in command["torrents"]]}

    def add(self, command):
        """Adds a torrent. Files in its folder are checked, or taken as complete if `assume_complete`.
        `limit` is the download rate in bytes a second. An SSL torrent needs `certificate` and `key`."""
        parameters = lt.load_torrent_file(command["torrent"])
        parameters.save_path = command["folder"]
        parameters.download_limit = command.get("limit", -1)
        if command.get("assume_complete"):
            parameters.flags |= lt.torrent_flags.seed_mode
        handle = self.session.add_torrent(parameters)
        if "certificate" in command:
            handle.set_ssl_certificate(command["certificate"], command["key"], command.get("dh", ""))
        self.torrents.append(handle)
        return {"info_hash": str(handle.info_hashes().v1)}

    def add_link(self, command):
        """Adds a magnet link."""
        parameters = lt.parse_magnet_uri(command["link"])
        parameters.save_path = command["folder"]
        self.torrents.append(self.session.add_torrent(parameters))
        return {}

    def connect(self, command):
        """Connects every torrent to a peer."""
        for torrent in self.torrents:
            torrent.connect_peer((command["ip"], command["port"]))
        return {}

    def peers(self, _):
        """The peers of the first torrent: the number of their pieces, whether they only upload."""
        flag = lt.peer_info.upload_only
        peers = self.torrents[0].get_peer_info()
        return {
            "have": self.torrents[0].status().num_pieces,
            "peers": [
                {"have": peer.num_pieces, "upload_only": bool(peer.flags & flag)} for peer in peers
            ],
        }

    def wait(self, command):
        """Waits until every torrent is complete or the time is up. The last bytes may be written
        later."""
        end = time.monotonic() + command["seconds"]
        torrents = self.torrents
        is_complete = lambda: all(torrent.status().is_seeding for torrent in torrents)
        self.collect_alerts_until(end, is_complete)
        return self.status()

    def wait_for(self, command):
        """Waits until an alert of this kind has come or the time is up."""
        end = time.monotonic() + command["seconds"]
        self.collect_alerts_until(end, lambda: self.count(command["alert"]) > 0)
        return self.status()

    def count(self, alert):
        return sum(kind == alert for kind, _ in self.alerts)

    def collect_alerts_until(self, end, holds):
        while not holds():
            left = end - time.monotonic()
            if left <= 0:
                return
            self.collect_alerts(min(left, 0.05))

    def collect_alerts(self, seconds):
        self.session.wait_for_alert(int(seconds * 1000) + 1)
        for alert in self.session.pop_alerts():
            self.alerts.append((alert.what(), alert.message()))
            if isinstance(alert, COMPLAINTS):
                self.complaints.append(f"{alert.what()}: {alert.message()}")

    def status(self):
        statuses = [torrent.status() for torrent in self.torrents]
        return {
            "complete": all(status.is_seeding for status in statuses),
            "states": [f"{each.name}: {each.state}, {each.progress:.0%}" for each in statuses],
            "failed_bytes": sum(status.total_failed_bytes for status in statuses),
            "downloaded": sum(status.total_payload_download for status in statuses),
            "complaints": self.complaints,
            "said": [f"{kind}: {message}" for kind, message in self.alerts[-40:]],
        }


def read(torrent):
    try:
        found = lt.load_torrent_file(torrent)
        return {"info_hash": str(found.info_hashes.v1), "private": found.ti.priv()}
    except RuntimeError as error:
        return {"error": str(error)}


def main():
    session = Session(json.loads(sys.argv[1]))
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(session, command["do"])(command)
        print(json.dumps(answer), flush=True)


main()
