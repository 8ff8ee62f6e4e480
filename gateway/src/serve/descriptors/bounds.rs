//! Shares of the process's descriptors: for connections of clients, for those with upstreams, and a reserve.
//!
//! | share | of what |
//! |---|---|
//! | what is open at the start | sockets that listen, the log, directories of plugins |
//! | six for each worker | its event queue |
//! | the admin interface | its own connections: a sixteenth of the limit, at most 32 |
//! | an eighth of the limit | files of plugins and lookups of names |
//! | two fifths of the rest | connections of clients, in equal parts for the listeners that set no limit |
//! | what is left, three fifths or more | connections with upstreams, in equal parts for the workers |
//!
//! A request takes one of a client's and at most one of an upstream's; there are more of the latter because workers do not
//! get equal parts of the clients.

use std::sync::Arc;

use super::limit;
use crate::config::Config;
use crate::serve::seats::Seats;

/// The most connections that the admin interface has at once.
const ADMIN_CONNECTIONS: u64 = 32;

/// Descriptors that the admin interface takes beside its connections' own.
const ADMIN_SLACK: u64 = 8;
const PER_WORKER: u64 = 6;

/// The least that a share is, however few descriptors there are.
const LEAST: usize = 4;

/// The operator's wishes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// For each listener its name, and how many connections it may have if that is said.
    listeners: Vec<(String, Option<usize>)>,
    upstream: Option<usize>,
    callouts: Option<usize>,
    workers: usize,
}

/// The shares.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// The seats of each listener, and how many it is to have.
    seats: Arc<[(Seats, usize)]>,
    /// The most connections that a worker has with upstreams.
    pub(crate) upstream: usize,
    /// The most callouts that a worker has in flight.
    pub(crate) callouts: usize,
}

/// The numbers before they are made seats.
#[derive(Debug, PartialEq, Eq)]
struct Shares {
    listeners: Vec<usize>,
    upstream: usize,
    callouts: usize,
}

impl Wishes {
    /// Reads the bounds of a configuration, for this number of threads that serve.
    pub(crate) fn of(config: &Config, workers: usize) -> Self {
        let listeners = config.listeners.iter().map(|listener| (listener.name.clone(), listener.max_connections));
        Self {
            listeners: listeners.collect(),
            upstream: config.max_upstream_connections,
            callouts: config.max_callouts,
            workers,
        }
    }
}

impl Default for Bounds {
    /// Sets no bounds.
    fn default() -> Self {
        Self { seats: Arc::new([]), upstream: usize::MAX, callouts: usize::MAX }
    }
}

impl Bounds {
    /// Shares out the descriptors that are left, of which so many are open. Logs the shares, and the wishes that they do not
    /// allow.
    ///
    /// Listeners that have seats already keep these, by their index; [`Self::resize`] has them take the new shares.
    pub(crate) fn share(open: u64, wishes: &Wishes, known: impl Fn(usize) -> Option<Seats>) -> Self {
        let limit = limit();
        let shares = share(limit, open, wishes);
        let names = wishes.listeners.iter().zip(&shares.listeners);
        for ((name, wish), share) in names.clone() {
            if let Some(wish) = wish.filter(|wish| wish > share) {
                warn(&format!("listener {name}: max_connections: {wish}"), *share, limit);
            }
        }
        let upstream = shares.upstream.saturating_mul(wishes.workers);
        if let Some(wish) = wishes.upstream.filter(|wish| *wish / wishes.workers.max(1) > shares.upstream) {
            warn(&format!("max_upstream_connections: {wish}"), upstream, limit);
        }
        if shares.upstream <= LEAST {
            let remedy = "raise it (`ulimit -n`; systemd: LimitNOFILE)";
            tracing::warn!(limit, open, "the limit of file descriptors leaves hardly any for connections; {remedy}");
        }
        let connections: Vec<String> = names.clone().map(|((name, _), share)| format!("{name}: {share}")).collect();
        tracing::info!(
            descriptors = limit,
            max_connections = connections.join(", "),
            max_upstream_connections = upstream,
            max_callouts = shares.callouts.saturating_mul(wishes.workers),
            "limits"
        );
        let seats = names.enumerate().map(|(index, ((name, _), share))| {
            let seats = known(index).unwrap_or_else(|| Seats::new(name, *share));
            (seats, *share)
        });
        let seats = seats.collect();
        Self { seats, upstream: shares.upstream, callouts: shares.callouts }
    }

    /// Gives each listener as many seats as it is to have.
    pub(crate) fn resize(&self) {
        self.seats.iter().for_each(|(seats, share)| seats.resize(*share));
    }

    /// Returns the seats of a listener.
    pub(crate) fn seats(&self, listener: usize, name: &str) -> Seats {
        self.seats.get(listener).map(|(seats, _)| seats.clone()).unwrap_or_else(|| Seats::new(name, usize::MAX >> 1))
    }
}

fn warn(wish: &str, share: usize, limit: u64) {
    tracing::warn!(
        "{wish} is more than the limit of {limit} file descriptors allows: {share} are used; raise it (`ulimit -n`; systemd: \
         LimitNOFILE)"
    );
}

/// Returns the number of connections that the admin interface may have at once.
pub(crate) fn admin_connections(limit: u64) -> usize {
    (limit / 16).clamp(LEAST as u64, ADMIN_CONNECTIONS) as usize
}

fn share(limit: u64, open: u64, wishes: &Wishes) -> Shares {
    let workers = wishes.workers.max(1);
    let admin = with_slack(admin_connections(limit)) as u64 + ADMIN_SLACK;
    let reserve = open.saturating_add(PER_WORKER * workers as u64).saturating_add(admin).saturating_add(limit / 8);
    let rest = usize::try_from(limit.saturating_sub(reserve)).unwrap_or(usize::MAX);
    let mut left = rest / 5 * 2;
    let mut unsaid = wishes.listeners.iter().filter(|(_, wish)| wish.is_none()).count();
    let mut waiting = wishes.listeners.len();
    let mut listeners = vec![LEAST; waiting];
    // Those that say a number first, as far as that leaves something for the others.
    let (said, equal): (Vec<_>, Vec<_>) =
        wishes.listeners.iter().zip(&mut listeners).partition(|((_, wish), _)| wish.is_some());
    for ((_, wish), share) in said {
        waiting -= 1;
        let most = without_slack(left.saturating_sub(waiting * 2 * LEAST));
        *share = wish.unwrap_or_default().min(most.max(LEAST));
        left = left.saturating_sub(with_slack(*share));
    }
    for (_, share) in equal {
        *share = without_slack(left / unsaid.max(1)).max(LEAST);
        left = left.saturating_sub(with_slack(*share));
        unsaid -= 1;
    }
    let used: usize = listeners.iter().map(|share| with_slack(*share)).sum();
    let most = (rest.saturating_sub(used) / workers).max(LEAST);
    let upstream = wishes.upstream.map_or(most, |wish| (wish / workers).clamp(1, most));
    let callouts = wishes.callouts.map_or_else(|| upstream.div_ceil(4) * 3, |wish| wish / workers).max(1);
    Shares { listeners, upstream, callouts }
}

/// Returns the number of descriptors for the connections of a listener, including those that are being closed.
fn with_slack(connections: usize) -> usize {
    connections + Seats::slack(connections)
}

/// Returns the maximum number of connections that fit into these descriptors.
fn without_slack(descriptors: usize) -> usize {
    descriptors.saturating_sub(Seats::slack(descriptors)).max(descriptors * 8 / 9).min(descriptors.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(listeners: &[Option<usize>]) -> Wishes {
        let listeners = listeners.iter().map(|wish| (String::new(), *wish)).collect();
        Wishes { listeners, workers: 2, ..Wishes::default() }
    }

    fn all(limit: u64, open: u64, wishes: &Wishes) -> u64 {
        let shares = share(limit, open, wishes);
        let clients: usize = shares.listeners.iter().map(|share| with_slack(*share)).sum();
        let workers = wishes.workers as u64;
        open + workers * PER_WORKER
            + with_slack(admin_connections(limit)) as u64
            + ADMIN_SLACK
            + limit / 8
            + (clients + shares.upstream * wishes.workers) as u64
    }

    #[test]
    fn shares_of_the_usual_limits() {
        for (limit, expected, upstream) in [(1024, 291, 246), (20_000, 6840, 5228), (1 << 20, 366_842, 275_229)] {
            let shares = share(limit, 20, &wishes(&[None]));
            assert_eq!((&*shares.listeners, shares.upstream), (&[expected][..], upstream), "{limit}");
            assert_eq!(shares.callouts, upstream.div_ceil(4) * 3);
        }
    }

    #[test]
    fn all_shares_together_are_within_the_limit() {
        for limit in [256, 300, 1024, 4096, 65_536, 1 << 20] {
            for listeners in [&[None][..], &[None; 5], &[Some(1 << 30), None], &[Some(100), Some(7), None, None]] {
                for workers in [1, 2, 9] {
                    let wishes = Wishes { workers, ..wishes(listeners) };
                    let all = all(limit, 20, &wishes);
                    assert!(all <= limit, "{limit} {listeners:?} {workers}: {all}");
                }
            }
        }
    }

    #[test]
    fn what_is_said_counts_as_far_as_it_can() {
        let shares = share(1024, 20, &wishes(&[Some(50), None, Some(60), None]));
        assert_eq!(shares.listeners, [50, 90, 60, 92]);
        let shares = share(1024, 20, &wishes(&[Some(5000), None]));
        assert!(shares.listeners.iter().all(|share| (LEAST..330).contains(share)), "{shares:?}");
        let few = Wishes { upstream: Some(10), callouts: Some(4), ..wishes(&[Some(1)]) };
        assert_eq!(share(1024, 20, &few), Shares { listeners: vec![1], upstream: 5, callouts: 2 });
        let many = Wishes { upstream: Some(5000), callouts: Some(5000), ..wishes(&[Some(8)]) };
        let shares = share(1024, 20, &many);
        assert!((shares.upstream, shares.callouts) > (300, 2500) && shares.upstream < 420, "{shares:?}");
    }

    #[test]
    fn a_limit_below_any_use_leaves_the_least() {
        let shares = share(32, 100, &wishes(&[None, Some(9)]));
        assert_eq!(shares, Shares { listeners: vec![LEAST, LEAST], upstream: LEAST, callouts: 3 });
    }
}
