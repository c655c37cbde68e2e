//! Packs info dictionaries into requests, each small enough for a frame.

use crate::torrent::Info;
use crate::wire::control::{InfoPart, MAX_PAGE, MAX_PART, PartError};

/// Maximum size of the keys and numbers around one part in a message, in bytes.
const OVERHEAD: usize = 64;

/// The parts of all `infos` in order. Each item has as many parts as fit into one request.
pub(super) fn of_infos(infos: &[Info]) -> impl Iterator<Item = Result<Vec<InfoPart>, PartError>> {
    let mut parts = infos
        .iter()
        .flat_map(|info| parts_of(info.raw()))
        .peekable();
    std::iter::from_fn(move || {
        let (mut page, mut bytes) = (Vec::new(), 0);
        loop {
            // The first part always fits. Further parts fit up to `MAX_PAGE` parts, and up to
            // `MAX_PART` bytes with `OVERHEAD` for each part.
            let fits = |part: &Result<InfoPart, PartError>| match part {
                Ok(part) => {
                    bytes += part.bytes().len() + OVERHEAD;
                    page.is_empty() || (page.len() < MAX_PAGE && bytes <= MAX_PART)
                }
                Err(_) => true,
            };
            match parts.next_if(fits) {
                Some(Ok(part)) => page.push(part),
                Some(Err(error)) => return Some(Err(error)),
                None => return Some(Ok(page)).filter(|page| page != &Ok(Vec::new())),
            }
        }
    })
}

fn parts_of(info: &[u8]) -> impl Iterator<Item = Result<InfoPart, PartError>> + '_ {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let part = InfoPart::of(info, next?);
        next = match &part {
            Ok(part) if part.end() < part.total() => Some(part.end()),
            _ => None,
        };
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use crate::wire::control::{InfoAssembly, MAX_FRAME, RunRequest, RunRequestMessage};
    use crate::wire::frame;

    #[test]
    fn many_small_and_some_large_dictionaries_fit_frames_and_keep_their_order() {
        let mut text = String::from("2503\n");
        for file in 0..2500 {
            text += &format!("f{file} 0\n");
        }
        for file in 0..3 {
            text += &format!("g{file} 60000\n{}", "x\n".repeat(60_000));
        }
        text += "0\n";
        let scenario = Scenario::parse(text.as_bytes()).unwrap();
        let infos = scenario.owned.iter().map(|file| file.info().unwrap());
        let infos: Vec<Info> = infos.collect();
        let (mut assembly, mut found, mut pages) = (InfoAssembly::new(), Vec::new(), 0);
        for page in of_infos(&infos) {
            let page = page.unwrap();
            found.extend(page.iter().filter_map(|part| assembly.add(part).unwrap()));
            assert!(!page.is_empty());
            let (id, ask) = (u32::MAX, RunRequest::Own { parts: page });
            let body = RunRequestMessage { id, ask }.encode();
            assert_eq!(
                RunRequestMessage::decode(&body).map(|request| request.id),
                Ok(u32::MAX)
            );
            frame::encode(&body, MAX_FRAME, &mut Vec::new()).unwrap();
            pages += 1;
        }
        assert!(found.iter().eq(infos.iter().map(Info::raw)));
        assert!((8..20).contains(&pages), "{pages}");
        assert_eq!(of_infos(&[]).count(), 0);
    }
}
