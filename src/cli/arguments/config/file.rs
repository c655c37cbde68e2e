//! Reads a configuration file.

use super::keys::{NOT_IN_FILES, keys};
use crate::cli::commands::{holds_password, nearest, parse_line};
use crate::system::cause;
use crate::wire::HostPort;
use clap::builder::ValueParser;
use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgAction, Command};
use nix::fcntl::OFlag;
use std::any::TypeId;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest file in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A setting of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The id of the option or argument.
    pub(super) id: String,
    /// Its values, as they would be typed.
    pub(super) values: Vec<String>,
}

/// Reads the settings of a file, by key.
///
/// # Errors
/// One line with the file, the line in it, and what is wrong.
pub(super) fn read(path: &Path, command: &Command) -> Result<BTreeMap<String, Setting>, String> {
    let shown = path.display();
    let text = read_text(path).map_err(|error| format!("{shown}: {error}"))?;
    let at = |at: usize, why: &str| {
        let before = text.as_bytes().get(..at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("{shown}: line {line}: {why}")
    };
    let table = DeTable::parse(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let message: Vec<&str> = error.message().split_whitespace().collect();
        at(start, &message.join(" "))
    })?;
    let folder = path.parent().unwrap_or(path);
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut settings = BTreeMap::new();
    for (key, value) in entries {
        let name = key.get_ref().as_ref();
        let found = keys(command).find(|(key, _)| *key == name);
        let Some((_, argument)) = found else {
            return Err(at(key.span().start, &unknown(name, command)));
        };
        let setting = read_setting(argument, value, folder);
        let setting = setting.and_then(|setting| check(&setting, argument, command));
        let error = |why: String| at(value.span().start, &format!("{name}: {why}"));
        settings.insert(name.to_owned(), setting.map_err(error)?);
    }
    Ok(settings)
}

fn read_text(path: &Path) -> Result<String, String> {
    // Without O_NONBLOCK, opening a FIFO waits for a writer.
    let mut options = File::options();
    options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(path).map_err(|error| cause(&error))?;
    let metadata = file.metadata().map_err(|error| cause(&error))?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut text = String::new();
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text);
    read.map_err(|error| cause(&error))?;
    match text.len() as u64 > MAX_FILE {
        true => Err(format!("the file has more than {MAX_FILE} bytes")),
        false => Ok(text),
    }
}

/// What is wrong with a key that does not exist.
fn unknown(name: &str, command: &Command) -> String {
    let shown: String = name.chars().take(60).collect();
    if NOT_IN_FILES.contains(&name) {
        return format!("{shown} cannot be set in a file; it is an option of one command");
    }
    let names = keys(command).map(|(key, _)| key);
    match nearest(name, names) {
        Some(nearest) => format!("there is no setting {shown:?}; the nearest is {nearest}"),
        None => format!(
            "there is no setting {shown:?}; pieceful {} --print-config lists all settings",
            command.get_name()
        ),
    }
}

/// The values of an entry, as they would be typed.
fn read_setting(
    argument: &Arg,
    value: &Spanned<DeValue<'_>>,
    folder: &Path,
) -> Result<Setting, String> {
    let value = value.get_ref();
    let values = match argument.get_action() {
        ArgAction::SetTrue => {
            let flag = value.as_bool().ok_or("expected true or false")?;
            vec![flag.to_string()]
        }
        ArgAction::Append => {
            let list = value.as_array().ok_or("expected a list of texts")?;
            let texts = list.iter().map(|item| item.get_ref().as_str());
            let texts: Option<Vec<&str>> = texts.collect();
            let texts = texts.ok_or("expected a list of texts")?;
            texts.into_iter().map(str::to_owned).collect()
        }
        _ => vec![plain_text(value)?],
    };
    let values = match is_path(argument.get_value_parser()) {
        true => values.iter().map(|path| in_folder(folder, path)).collect(),
        false => Ok(values),
    };
    Ok(Setting {
        id: argument.get_id().to_string(),
        values: values?,
    })
}

fn plain_text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().replace('_', "")),
        DeValue::Float(number) => Ok(number.as_str().replace('_', "")),
        _ => Err("expected a text or a number".to_owned()),
    }
}

fn is_path(parser: &ValueParser) -> bool {
    parser.type_id() == TypeId::of::<PathBuf>()
}

fn in_folder(folder: &Path, path: &str) -> Result<String, String> {
    let path = folder.join(path).into_os_string().into_string();
    path.map_err(|_| "the folder of the file has a name that is not UTF-8 text".to_owned())
}

/// Checks the values as if they were typed.
fn check(setting: &Setting, argument: &Arg, command: &Command) -> Result<Setting, String> {
    if setting.id == "command" {
        for line in &setting.values {
            if parse_line(line, None).is_some_and(|line| holds_password(&line)) {
                return Err("a command contains a password; leave it out, and write it as a line of standard input".to_owned());
            }
        }
    }
    // As an argument, LISTEN may be left out before TRACKER_INFO. In a file it has a name.
    if let ("listen", Some(text)) = (setting.id.as_str(), setting.values.first()) {
        let parsed = text.parse::<HostPort>().map(drop);
        return parsed
            .map(|()| setting.clone())
            .map_err(|error| error.to_string());
    }
    if matches!(argument.get_action(), ArgAction::SetTrue) {
        return Ok(setting.clone());
    }
    let mut line = vec![command.get_name().to_owned()];
    match argument.get_long() {
        Some(long) => {
            let typed = setting.values.iter();
            line.extend(typed.map(|value| format!("--{long}={value}")));
        }
        // A number: the arguments before it can have any value.
        None if setting.id == "number" => line.extend(["x".to_owned()]),
        None => return Ok(setting.clone()),
    }
    if setting.id == "number" {
        line.extend(setting.values.iter().cloned());
    }
    match command.clone().try_get_matches_from(line) {
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(setting.clone()),
        Err(error) => Err(reason(&error)),
        Ok(_) => Ok(setting.clone()),
    }
}

/// The reason of an error of clap, without the option.
fn reason(error: &clap::Error) -> String {
    let value = error.get(ContextKind::InvalidValue);
    let value = value.map(|value| format!("{:?} is not valid", value.to_string()));
    let source = std::error::Error::source(error).map(ToString::to_string);
    let valid = error.get(ContextKind::ValidValue);
    let valid = valid.map(|valid| format!("expected one of {valid}"));
    let parts = [value, source.or(valid)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => error.kind().to_string(),
        false => parts.join(": "),
    }
}
