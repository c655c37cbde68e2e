//! What a user asks trackers about who has the shares of a group, and who mirrors it.
//!
//! Each tracker of the group knows only what it has heard itself. So all of them are asked, and
//! their answers are merged.

use super::holder_list::{HolderList, MergedHolders, MergedMirrors};
use super::{Account, AccountError};
use crate::wire::access::{AccessAnswer, AccessRequest, HolderRequest, MirrorEntry, ShortText};
use crate::wire::name::Label;
use std::sync::Arc;

impl Account {
    /// The holders of the versions of a share, or with a name `NAME@N` of that version, or without
    /// a name of all shares of the group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn holders(&self, group: &Label, name: Option<&str>) -> Result<HolderList, AccountError> {
        let name = match name {
            None => None,
            Some(text) => Some(
                ShortText::new(text)
                    .ok_or_else(|| AccountError::NoSuchName(text.chars().take(80).collect()))?,
            ),
        };
        let mut merged = MergedHolders::default();
        self.pages_of_all_trackers(
            group,
            |after| HolderRequest::Holders {
                group: group.clone(),
                name: name.clone(),
                after,
            },
            |answer| match answer {
                AccessAnswer::Holders { page, named } => Some(merged.add(page, named)),
                _ => None,
            },
        )?;
        Ok(merged.into_list())
    }

    /// Those that have reported that they mirror a group, the one that was heard of last first.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn mirrors(&self, group: &Label) -> Result<Vec<MirrorEntry>, AccountError> {
        let mut merged = MergedMirrors::default();
        self.pages_of_all_trackers(
            group,
            |after| HolderRequest::Mirrors {
                group: group.clone(),
                after,
            },
            |answer| match answer {
                AccessAnswer::Mirrors(page) => Some(merged.add(page)),
                _ => None,
            },
        )?;
        Ok(merged.into_list())
    }

    /// Reports to the trackers of a group whether this peer mirrors it.
    ///
    /// # Errors
    /// No tracker of the group accepts the report: see [`AccountError`].
    pub fn report_mirroring(&self, group: &Label, on: bool) -> Result<(), AccountError> {
        let request = HolderRequest::Mirroring {
            group: group.clone(),
            on,
        };
        self.ask_all_trackers(group, request, |answer| match answer {
            AccessAnswer::Done => Some(()),
            _ => None,
        })
    }

    /// Asks the trackers of a group for all pages of a list. `take` takes the entries of an answer,
    /// and returns the position of the next page.
    fn pages_of_all_trackers(
        &self,
        group: &Label,
        request_after: impl Fn(Option<ShortText>) -> HolderRequest,
        mut take: impl FnMut(AccessAnswer) -> Option<Option<ShortText>>,
    ) -> Result<(), AccountError> {
        let mut after: Option<ShortText> = None;
        loop {
            let mut next: Option<ShortText> = None;
            self.ask_all_trackers(group, request_after(after.clone()), |answer| {
                next = earlier(next.take(), take(answer)?);
                Some(())
            })?;
            let text =
                |position: &Option<ShortText>| position.as_ref().map(|it| it.as_str().to_owned());
            // A position that does not go on would bring the same page forever.
            if next.is_none() || text(&next) <= text(&after) {
                return Ok(());
            }
            after = next;
        }
    }

    /// Sends a request to the trackers of a group, and passes each answer to `take`, which returns
    /// `None` if it is no answer to the request. Succeeds if one tracker answers.
    fn ask_all_trackers(
        &self,
        group: &Label,
        request: HolderRequest,
        mut take: impl FnMut(AccessAnswer) -> Option<()>,
    ) -> Result<(), AccountError> {
        let login = self.current_login()?;
        let ask = AccessRequest::Holders(request);
        let (trackers, label) = (Arc::clone(&self.trackers), group.clone());
        let (sent, token) = (ask.clone(), login.token.clone());
        let asked = self.wait_for(move || {
            let mut replies = Vec::new();
            let asked = trackers.ask_trackers_of_group(&label, &sent, Some(&token), |answered| {
                replies.extend(answered.ok());
            });
            asked.map(|()| replies)
        });
        let mut answers = Vec::new();
        for reply in asked?? {
            if let Some(renewed) = &reply.renewed
                && let Err(error) = self.replace_token(&login.token, Some(renewed), false)
            {
                log::warn!("{error}");
            }
            answers.extend(reply.result.ok());
        }
        if answers.is_empty() {
            // This waits for trackers that start, and knows when a refusal ends the login.
            answers.push(self.ask(&ask, Some(&login))?);
        }
        let other = || AccountError::OtherAnswer(ask.kind());
        let mut taken = answers
            .into_iter()
            .map(|answer| take(answer).ok_or_else(other));
        taken.try_for_each(|taken| taken)
    }
}

/// The earlier of two positions: another tracker goes on from there too. `None` is the end.
fn earlier(one: Option<ShortText>, other: Option<ShortText>) -> Option<ShortText> {
    match (one, other) {
        (Some(one), Some(other)) if other.as_str() < one.as_str() => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_trackers_go_on_from_the_earliest_end_of_a_page() {
        let position = |text: &str| ShortText::new(text);
        for (one, other, expected) in [
            (None, None, None),
            (position("b"), None, position("b")),
            (None, position("b"), position("b")),
            (position("b"), position("a"), position("a")),
            (position("a"), position("b"), position("a")),
        ] {
            assert_eq!(earlier(one, other), expected);
        }
    }
}
