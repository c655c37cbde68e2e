//! Web seeds (BEP 19) as a core knows them: each has a [`LinkId`], as a link has, and serves every
//! request for its pieces.

use super::block::{Source, Sources};
use crate::swarm::LinkId;
use std::collections::HashMap;

/// What is known of a web seed, from its first use to the end of the download. So it can be blamed
/// for a bad piece even when it is no longer used.
#[derive(Debug, Default)]
struct WebSeed {
    /// A piece that came from this web seed alone did not verify.
    is_liar: bool,
    /// A piece that came partly from this web seed did not verify, and since then no piece from it
    /// alone has verified.
    is_doubted: bool,
    /// Blocks were requested from it, and its response is being read or waited for.
    in_use: bool,
    /// It has failed, and no block has come from it since.
    is_failing: bool,
}

/// How far a web seed is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSeedTrust {
    /// There is no reason for doubt.
    Full,
    /// A piece that came partly from the web seed did not verify, and since then no piece from it
    /// alone has verified.
    Doubted,
    /// The web seed is proven to send bad data.
    Lost,
}

/// The web seeds used so far.
#[derive(Debug, Default)]
pub(super) struct WebSeeds {
    by_id: HashMap<LinkId, WebSeed>,
    /// The reason of the latest failure of any web seed, as text for a person.
    trouble: Option<String>,
}

impl WebSeeds {
    /// The web seeds that are not failing.
    pub(super) fn working(&self) -> impl Iterator<Item = LinkId> {
        let all = self.by_id.iter();
        all.filter_map(|(id, web_seed)| (!web_seed.is_failing).then_some(*id))
    }

    /// The reason of the latest failure of any web seed.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn add(&mut self, id: LinkId) {
        self.by_id.entry(id).or_default();
    }

    pub(super) fn trust(&self, id: LinkId) -> WebSeedTrust {
        match self.by_id.get(&id) {
            Some(WebSeed { is_liar: true, .. }) => WebSeedTrust::Lost,
            Some(WebSeed {
                is_doubted: true, ..
            }) => WebSeedTrust::Doubted,
            _ => WebSeedTrust::Full,
        }
    }

    /// Whether the response of some web seed is being read or waited for.
    pub(super) fn any_in_use(&self) -> bool {
        self.by_id.values().any(|web_seed| web_seed.in_use)
    }

    /// The web seed failed, for this reason.
    pub(super) fn on_failure(&mut self, id: LinkId, trouble: String) {
        self.by_id.entry(id).or_default().is_failing = true;
        self.trouble = Some(trouble);
    }

    /// A block came from this source.
    pub(super) fn on_block(&mut self, source: &Source) {
        if let Source::Web(id, _) = source
            && let Some(web_seed) = self.by_id.get_mut(id)
        {
            web_seed.is_failing = false;
        }
    }

    /// Sets whether the response of the web seed is being read or waited for.
    pub(super) fn set_in_use(&mut self, id: LinkId, in_use: bool) {
        if let Some(web_seed) = self.by_id.get_mut(&id) {
            web_seed.in_use = in_use;
        }
    }

    /// A piece was verified. If it came from one web seed alone, that web seed is no longer
    /// doubted.
    pub(super) fn on_verified(&mut self, sources: &Sources) {
        if let [Source::Web(id, _)] = sources.keys().collect::<Vec<_>>().as_slice()
            && let Some(web_seed) = self.by_id.get_mut(id)
        {
            web_seed.is_doubted = false;
        }
    }

    /// A piece from these sources does not verify. `proven`: whether the piece came from one
    /// source alone.
    pub(super) fn on_piece_failed(&mut self, sources: &Sources, proven: bool) {
        for source in sources.keys() {
            if let Source::Web(id, _) = source {
                let web_seed = self.by_id.entry(*id).or_default();
                web_seed.is_liar |= proven;
                web_seed.is_doubted |= !proven;
            }
        }
    }
}
