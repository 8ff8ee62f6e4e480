//! Which entries are examined on a host.

use std::fmt;
use std::str::FromStr;

use portcullis_core::abi::CallbackId;

use crate::catalogue::{Entry, Kind};
use crate::check::{Check, Sees};
use crate::decisions::{Decision, Event, Way};

/// A choice of entries: those that are wanted, and parts of the ABI that a host is known not to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    filter: String,
    share: Share,
    absent: Vec<Feature>,
}

/// A part of the ABI that a whole host may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Callouts of gRPC.
    Grpc,
    /// Streams of TCP.
    Tcp,
    /// Trailers of requests and responses.
    Trailers,
}

/// One entry of so many, chosen by the hash of its full name: a short run that is the same everywhere, and of all topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u32);

impl Selection {
    /// Selects entries whose full name contains a text; all by default.
    #[must_use]
    pub(crate) fn containing(mut self, filter: impl Into<String>) -> Self {
        self.filter = filter.into();
        self
    }

    /// Selects a share of them; all by default.
    #[must_use]
    pub(crate) fn share(mut self, share: Share) -> Self {
        self.share = share;
        self
    }

    /// Has entries that need a part of the ABI told as not examined.
    #[must_use]
    pub(crate) fn without(mut self, absent: impl IntoIterator<Item = Feature>) -> Self {
        self.absent.extend(absent);
        self
    }

    /// Returns whether an entry is wanted.
    pub(crate) fn has(&self, entry: &Entry) -> bool {
        let path = entry.path();
        path.contains(&self.filter) && self.share.has(&path)
    }

    /// Returns whether the share alone keeps an entry from being wanted.
    pub(crate) fn leaves_out(&self, entry: &Entry) -> bool {
        let path = entry.path();
        path.contains(&self.filter) && !self.share.has(&path)
    }

    /// Returns why an entry is not examined though it is wanted, if it is not.
    pub(crate) fn lacks(&self, entry: &Entry) -> Option<&'static str> {
        let needed = self.absent.iter().find(|feature| match &entry.kind {
            Kind::Check(check) => feature.is_needed_by(check),
            Kind::Decision(decision) => feature.is_needed_to_decide(decision),
            #[cfg(feature = "engines")]
            Kind::OwnGuest(_) => false,
        })?;
        Some(match needed {
            Feature::Grpc => "the host has no callouts of gRPC (--without grpc)",
            Feature::Tcp => "the host has no streams of TCP (--without tcp)",
            Feature::Trailers => "the host has no trailers (--without trailers)",
        })
    }
}

impl Feature {
    /// The names, as an argument has them.
    pub const ALL: [(&'static str, Self); 3] = [("grpc", Self::Grpc), ("tcp", Self::Tcp), ("trailers", Self::Trailers)];

    fn is_needed_by(self, check: &Check) -> bool {
        use CallbackId as Id;
        let task = &check.task;
        match self {
            Self::Grpc => is_of_grpc(task.phase) || task.script.contains("proxy_grpc_"),
            Self::Tcp => task.connects(),
            Self::Trailers => {
                matches!(task.phase, Id::on_request_trailers | Id::on_response_trailers)
                    || match check.sees {
                        Sees::ResponseTrailer(_) => true,
                        Sees::Callbacks => check.expected.contains("trailers"),
                        Sees::Upstream(name) => name.starts_with("trailer "),
                        _ => false,
                    }
            }
        }
    }

    fn is_needed_to_decide(self, decision: &Decision) -> bool {
        match self {
            Self::Grpc => is_of_grpc(decision.phase),
            Self::Tcp => matches!(decision.way(), Way::Downstream | Way::Upstream),
            Self::Trailers => {
                matches!(decision.phase, CallbackId::on_request_trailers | CallbackId::on_response_trailers)
                    || decision.event == Event::Trailers
            }
        }
    }
}

/// Returns whether a callback is of a gRPC callout.
pub(crate) fn is_of_grpc(phase: CallbackId) -> bool {
    use CallbackId as Id;
    matches!(
        phase,
        Id::on_grpc_receive_initial_metadata
            | Id::on_grpc_receive
            | Id::on_grpc_receive_trailing_metadata
            | Id::on_grpc_close
    )
}

impl Share {
    fn has(self, path: &str) -> bool {
        // FNV-1a: the same on every machine and in every release.
        let hash = path.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        hash % self.0 == 0
    }
}

impl Default for Share {
    /// Every entry.
    fn default() -> Self {
        Self(1)
    }
}

/// Of `1/10`.
impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.strip_prefix("1/").and_then(|parts| parts.parse().ok()).filter(|parts| *parts > 0);
        parts.map(Self).ok_or_else(|| format!("{text:?} is no share; write 1/10 for a tenth of the cases"))
    }
}

/// Of `grpc`, `tcp` and `trailers`.
impl FromStr for Feature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, feature)| *feature);
        known.ok_or_else(|| {
            format!("there is no part {text:?} of the ABI to leave out; there are grpc, tcp and trailers")
        })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1/{}", self.0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::catalogue::entries;

    fn chosen(selection: &Selection) -> Vec<String> {
        entries().filter(|entry| selection.has(entry)).map(|entry| entry.path()).collect()
    }

    #[test]
    fn shares_are_of_the_size_that_they_say_and_of_all_topics() {
        let all = chosen(&Selection::default());
        let tenth = chosen(&Selection::default().share("1/10".parse().unwrap()));
        assert!(tenth.len() * 8 < all.len() && all.len() < tenth.len() * 12, "{} of {}", tenth.len(), all.len());
        for topic in ["answers::", "phases::", "exchange::", "decisions::", "attributes::"] {
            assert!(tenth.iter().any(|path| path.starts_with(topic)), "{topic}");
        }
        for wrong in ["10", "1/0", "2/10", "1/", "1/x"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_needs_a_part_that_the_host_lacks_is_not_examined() {
        for (name, feature) in Feature::ALL {
            assert_eq!(name.parse(), Ok(feature));
            let selection = Selection::default().without([feature]);
            let told = format!("--without {name}");
            let lacking: Vec<_> = entries().filter_map(|entry| selection.lacks(&entry)).collect();
            assert!(lacking.len() > 20 && lacking.iter().all(|why| why.contains(&told)), "{name}: {}", lacking.len());
            assert!(lacking.len() < entries().count() / 2, "{name}: {}", lacking.len());
        }
        assert!("udp".parse::<Feature>().is_err());
        assert!(entries().all(|entry| Selection::default().lacks(&entry).is_none()));
    }
}
