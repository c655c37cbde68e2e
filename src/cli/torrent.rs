//! `pieceful torrent`: creates, shows and checks a `.torrent`.

use super::arguments::{CreateArguments, TorrentArguments};
use super::exit::Exit;
use super::hashing::HashingProgress;
use super::output::Output;
use super::paths::torrent_name;
use super::render::empty_folders_note;
use super::signals;
use super::units::{counted, size};
use crate::base::escape;
use crate::storage::{
    Arrangement, CreateOptions, FileLayout, ShareDraft, StoreError, check_output, check_share,
    reserve_output, write_output,
};
use crate::system::{cause, processors};
use crate::torrent::{Layout, MAX_METAINFO, Magnet, Metainfo};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// Runs `torrent create`, `show` or `check`.
pub(super) fn run(arguments: TorrentArguments) -> Exit {
    let output = Output::new(false);
    let result = match &arguments {
        TorrentArguments::Create(arguments) => create_torrent(arguments, &output),
        TorrentArguments::Show { torrent } => show(torrent, &output),
        TorrentArguments::Check { torrent, path } => check_files(torrent, path, &output),
    };
    let succeeded = result.unwrap_or_else(|message| {
        output.error(&message);
        false
    });
    Exit::of(output.finish() && succeeded)
}

fn create_torrent(arguments: &CreateArguments, output: &Output) -> Result<bool, String> {
    let path = &arguments.path;
    let target = match &arguments.output {
        Some(target) => target.clone(),
        None => torrent_name(path).map_err(|error| read_message(path, &error))?,
    };
    // This check comes before the hashing, which may take hours. `write_output` checks again.
    if !arguments.force && target.symlink_metadata().is_ok() {
        return Err(exists_message(&target));
    }
    check_output(&target).map_err(|error| write_message(&target, &error))?;
    let flag = signals::watch(|| {})?.flag;
    let trackers = arguments.trackers.iter();
    let trackers: Vec<Vec<String>> = trackers.map(|url| vec![url.clone()]).collect();
    let options = CreateOptions {
        arrangement: Arrangement::Sorted,
        piece_length: arguments.piece_length,
        private: arguments.private,
        file_sha1: arguments.file_sha1,
        ssl_cert: None,
        trackers: &trackers,
        output: Some(&target),
        follows_links: arguments.follow_links,
    };
    let draft = ShareDraft::new(path, &options).map_err(|error| error.to_string())?;
    let reserved = reserve_output(&target, draft.torrent_length());
    let reserved = reserved.map_err(|error| write_message(&target, &error))?;
    let hashing = HashingProgress::new("hashing", output);
    let created = draft.hash(&|done, total| hashing.step(done, total), &flag);
    hashing.finish();
    let created = created.map_err(|error| error.to_string())?;
    let metainfo = created.metainfo;
    drop(reserved);
    let written = write_output(&target, &metainfo.encode(), arguments.force);
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists_message(&target),
        _ => write_message(&target, &error),
    })?;
    if let Some(note) = empty_folders_note(&created.empty_folders) {
        output.note(&note);
    }
    let info = metainfo.info();
    output.result(&format!(
        "created {}  {}  {}  {}  info-hash {}",
        escape(&target.to_string_lossy()),
        escape(info.name().as_str()),
        size(info.lengths().total()),
        counted(info.lengths().pieces(), "piece"),
        info.info_hash(),
    ));
    Ok(true)
}

fn write_message(target: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {}", target.display(), cause(error))
}

fn exists_message(target: &Path) -> String {
    format!(
        "{} exists already; name another file with -o, or replace it with --force",
        target.display()
    )
}

fn read_message(path: &Path, error: &io::Error) -> String {
    format!("{}: {}", path.display(), cause(error))
}

fn read(path: &Path) -> Result<Metainfo, String> {
    let mut bytes = Vec::new();
    File::open(path)
        // One byte more than the limit, so that the parser sees that a file is too large.
        .and_then(|file| file.take(MAX_METAINFO as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| read_message(path, &error))?;
    Metainfo::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn show(path: &Path, output: &Output) -> Result<bool, String> {
    let metainfo = read(path)?;
    // Stops early if the reader has gone (`| head`).
    let _ = description(&metainfo).all(|line| output.result(&line));
    Ok(true)
}

fn description(metainfo: &Metainfo) -> impl Iterator<Item = String> {
    let info = metainfo.info();
    let (lengths, files) = (info.lengths(), info.files());
    let magnet = Magnet {
        info_hash: info.info_hash(),
        name: Some(info.name().to_string()),
        trackers: metainfo.trackers().concat(),
        peers: Vec::new(),
        web_seeds: metainfo.web_seeds().to_vec(),
        select_only: Vec::new(),
    };
    let kind = match info.layout() {
        Layout::File => "file".to_owned(),
        Layout::Folder => {
            let stored = files.iter().filter(|file| !file.attributes.padding).count();
            format!("folder of {}", counted(stored, "file"))
        }
    };
    let head = [
        format!("name       {}", escape(info.name().as_str())),
        format!("kind       {kind}"),
        format!(
            "size       {} ({} bytes)",
            size(lengths.total()),
            lengths.total()
        ),
        format!(
            "pieces     {} of {}",
            lengths.pieces(),
            size(lengths.piece_length().into())
        ),
        format!("info-hash  {}", info.info_hash()),
        format!("private    {}", if info.private() { "yes" } else { "no" }),
    ];
    let trackers = (1..).zip(metainfo.trackers()).flat_map(|(tier, urls)| {
        urls.iter()
            .map(move |url| format!("tracker    {} (tier {tier})", escape(url)))
    });
    let files = files
        .iter()
        .filter(|file| !file.attributes.padding)
        .map(|file| {
            let path = file.path.to_string();
            let sha1 = file
                .sha1
                .map_or_else(String::new, |sha1| format!("  sha1 {sha1}"));
            format!("file       {}  {} bytes{sha1}", escape(&path), file.length)
        });
    head.into_iter()
        .chain(trackers)
        .chain([match info.private() {
            // Peers do not send the metadata of a private torrent (BEP 27), so a magnet link is
            // useless.
            true => "magnet     none: a private torrent needs its .torrent".to_owned(),
            false => format!("magnet     {magnet}"),
        }])
        .chain(files)
}

fn check_files(torrent: &Path, path: &Path, output: &Output) -> Result<bool, String> {
    let metainfo = read(torrent)?;
    let flag = signals::watch(|| {})?.flag;
    let threads = processors();
    let hashing = HashingProgress::new("checking", output);
    let info = Arc::new(metainfo.info().clone());
    let layout = FileLayout::all(info);
    let report = check_share(layout, path, threads, &flag, &|done, total| {
        hashing.step(done, total)
    });
    hashing.finish();
    let did_you_mean = || {
        let inside = path.join(metainfo.info().name().as_str());
        let exists = match metainfo.info().layout() {
            Layout::File => inside.is_file(),
            Layout::Folder => inside.is_dir(),
        };
        exists.then(|| {
            format!(
                "nothing in {} matches the torrent; did you mean {}?",
                path.display(),
                inside.display()
            )
        })
    };
    let report = match report {
        Ok(report) if report.holds_nothing() => {
            if let Some(hint) = did_you_mean() {
                return Err(hint);
            }
            report
        }
        Ok(report) => report,
        Err(error @ StoreError::NotAFile(_)) => {
            return Err(did_you_mean().unwrap_or_else(|| error.to_string()));
        }
        Err(error) => return Err(error.to_string()),
    };
    let pieces = metainfo.info().lengths().pieces();
    for file in &report.faults {
        output.error(&file.to_string());
    }
    if report.is_whole() {
        output.result(&format!(
            "{} matches the torrent: {}",
            escape(&path.to_string_lossy()),
            match pieces {
                1 => "its only piece is good".to_owned(),
                _ => format!("all {pieces} pieces are good"),
            }
        ));
        return Ok(true);
    }
    let found = match pieces {
        1 => "its only piece is damaged".to_owned(),
        _ => format!("{} of {pieces} pieces are good", report.good.count()),
    };
    let path = path.display();
    Err(format!("{path} does not match the torrent: {found}"))
}
