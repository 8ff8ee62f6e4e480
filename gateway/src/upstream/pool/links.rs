//! The connections with one endpoint, apart by the server name that they were opened for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use rustls::pki_types::ServerName;
use tokio::time::Instant;

use super::config::ClusterConfig;
use super::link::Link;

/// The connections with one endpoint.
#[derive(Debug)]
pub(super) enum Links {
    /// All have one name, or none.
    One(Rc<Link>),
    /// A request goes over connections whose server has shown a certificate for its host.
    ByName(ByName),
}

/// Connections by name.
#[derive(Debug)]
pub(super) struct ByName {
    config: Box<ClusterConfig>,
    /// The one that was used last is at the end.
    links: RefCell<VecDeque<Rc<Link>>>,
}

/// The most names whose connections are kept for an endpoint: clients choose them.
const MOST_NAMES: usize = 64;

impl Links {
    /// Keeps connections of one name.
    pub(super) fn one(config: &ClusterConfig, name: Option<ServerName<'static>>) -> Self {
        Self::One(Rc::new(Link::new(config, name)))
    }

    /// Keeps connections by the names that requests have.
    pub(super) fn by_name(config: &ClusterConfig) -> Self {
        Self::ByName(ByName { config: Box::new(config.clone()), links: RefCell::default() })
    }

    /// Returns the connections for a request whose host is `name`; none if it has none and needs one.
    pub(super) fn get(&self, name: impl FnOnce() -> Option<ServerName<'static>>) -> Option<Rc<Link>> {
        match self {
            Self::One(link) => Some(Rc::clone(link)),
            Self::ByName(by_name) => name().map(|name| by_name.get(name)),
        }
    }

    /// Returns the time since which the oldest idle connection has been idle, and where it is.
    pub(super) fn oldest_idle(&self) -> Option<(Instant, Rc<Link>)> {
        let idle = |link: &Rc<Link>| Some((link.idle_since()?, Rc::clone(link)));
        match self {
            Self::One(link) => idle(link),
            Self::ByName(by_name) => by_name.links.borrow().iter().filter_map(idle).min_by_key(|(since, _)| *since),
        }
    }
}

impl ByName {
    fn get(&self, name: ServerName<'static>) -> Rc<Link> {
        let mut links = self.links.borrow_mut();
        let known = links.iter().position(|link| link.name() == Some(&name)).and_then(|index| links.remove(index));
        let link = known.unwrap_or_else(|| Rc::new(Link::new(&self.config, Some(name))));
        // Names without a connection go first: anybody can send one that the server has no certificate for. Then the connections of the
        // name that has not been used for longest, when their requests have ended.
        if links.len() >= MOST_NAMES {
            let idle = links.iter().position(|link| !link.has_connection()).unwrap_or_default();
            links.remove(idle);
        }
        links.push_back(Rc::clone(&link));
        link
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn name(text: String) -> Option<ServerName<'static>> {
        Some(ServerName::try_from(text).unwrap())
    }

    #[test]
    fn each_name_has_connections_of_its_own_and_only_so_many_are_kept() {
        let links = Links::by_name(&ClusterConfig::new("a", vec!["127.0.0.1:1".to_owned()]));
        let first = links.get(|| name("a.test".to_owned())).unwrap();
        assert!(Rc::ptr_eq(&first, &links.get(|| name("a.test".to_owned())).unwrap()));
        assert!(!Rc::ptr_eq(&first, &links.get(|| name("b.test".to_owned())).unwrap()));
        for index in 0..3 * MOST_NAMES {
            links.get(|| name(format!("n{index}.test"))).unwrap();
        }
        let Links::ByName(by_name) = &links else { panic!() };
        assert_eq!(by_name.links.borrow().len(), MOST_NAMES);
        assert!(!Rc::ptr_eq(&first, &links.get(|| name("a.test".to_owned())).unwrap()), "it was used longest ago");
        assert!(links.get(|| None).is_none());
    }

    #[test]
    fn one_name_is_for_every_request() {
        let links = Links::one(&ClusterConfig::new("a", vec!["127.0.0.1:1".to_owned()]), None);
        assert!(Rc::ptr_eq(&links.get(|| None).unwrap(), &links.get(|| name("a.test".to_owned())).unwrap()));
    }
}
