//! Which listener and route take a request, and why no other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::request;
use portcullis::chain::convert::{Refusal, canonical, request_headers, strip_hop_by_hop, take_expectation};
use portcullis::model::Headers;

use super::question::{Question, Unclear};
use crate::config::{Config, Listener, Mismatch, Route};
use crate::serve::worker::edge::{self, RequestIds};

/// The listener that takes a request, and why.
#[derive(Clone, Debug)]
pub(super) struct ChosenListener<'c> {
    pub(super) listener: &'c Listener,
    pub(super) why: String,
}

/// The routes that a request was held against.
#[derive(Clone, Debug, Default)]
pub(super) struct Tried<'c> {
    /// The routes before the one that takes it, each with why it does not.
    pub(super) passed_by: Vec<(&'c Route, Mismatch)>,
    pub(super) taken: Option<&'c Route>,
}

/// Chooses the listener: the one that is named, or that the URL leads to, or the only one.
pub(super) fn listener<'c>(config: &'c Config, question: &Question) -> Result<ChosenListener<'c>, Unclear> {
    let listeners = &config.listeners;
    let chosen = |listener, why: &str| Ok(ChosenListener { listener, why: why.to_owned() });
    let all = || {
        let names = listeners.iter().map(|listener| format!("{} ({})", listener.name, listener.address));
        names.collect::<Vec<_>>().join(", ")
    };
    if let Some(name) = &question.listener {
        return match listeners.iter().find(|listener| listener.name == *name) {
            Some(listener) => chosen(listener, "it is named in the question"),
            None => Err(Unclear(format!("no listener is called {name:?}; there are {}", all()))),
        };
    }
    if let [listener] = listeners.as_slice() {
        let fits = listener.address.port() == question.port() && listener.tls.is_some() == question.is_tls();
        return chosen(listener, if fits { "the URL leads to it" } else { "it is the only one" });
    }
    let leads_to = |listener: &&Listener| {
        listener.address.port() == question.port() && listener.tls.is_some() == question.is_tls()
    };
    let host: Option<IpAddr> =
        question.url.host().and_then(|host| host.trim_start_matches('[').trim_end_matches(']').parse().ok());
    let at = |listener: &&Listener| {
        listener.address.ip().is_unspecified() || host.is_none_or(|host| host == listener.address.ip())
    };
    let mut found: Vec<_> = listeners.iter().filter(leads_to).collect();
    if found.len() > 1 && found.iter().any(at) {
        found.retain(at);
    }
    match found.as_slice() {
        [listener] => chosen(listener, "the URL leads to it"),
        [] => Err(Unclear(format!(
            "no listener {} port {}; name one of {}",
            if question.is_tls() { "speaks TLS at" } else { "speaks plain HTTP at" },
            question.port(),
            all()
        ))),
        _ => Err(Unclear(format!("several listeners have port {}; name one of {}", question.port(), all()))),
    }
}

/// Brings a head into the form that routes and plugins see, as a request of a client on this machine.
pub(super) fn received(listener: &Listener, mut parts: request::Parts) -> Result<Headers, Refusal> {
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    canonical(&mut parts, SocketAddr::new(client, listener.address.port()))?;
    take_expectation(&mut parts)?;
    strip_hop_by_hop(&mut parts.headers);
    // Not what the URL says: a balancer in front may speak TLS where the listener does not.
    let is_tls = listener.tls.is_some();
    edge::stamp(&mut parts.headers, client, is_tls, listener.use_remote_address, &mut RequestIds::default());
    Ok(request_headers(&parts, is_tls))
}

/// Holds a request against the routes of a listener, in the order in which they are tried.
pub(super) fn route<'c>(listener: &'c Listener, headers: &Headers) -> Tried<'c> {
    let mut tried = Tried::default();
    for route in &listener.routes {
        match route.matcher.mismatch(headers) {
            Some(why) => tried.passed_by.push((route, why)),
            None => {
                tried.taken = Some(route);
                break;
            }
        }
    }
    tried
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::config::RouteMatch;

    const FILE: &str = "
listeners:
- name: plain
  address: 127.0.0.1:8080
  routes:
  - { name: user, match: { prefix: /api, headers: [{ name: x-user, present: true }] }, cluster: e }
  - { name: secure, match: { headers: [{ name: x-forwarded-proto, exact: https }] }, cluster: e }
  - { name: host, match: { host: a.example }, cluster: e }
- { name: other, address: 127.0.0.2:8080, routes: [{ cluster: e }] }
- { name: bytes, address: 127.0.0.1:9000, tcp_proxy: { cluster: e } }
clusters: [{ name: e, echo: {} }]
";

    fn config(text: &str) -> Config {
        Config::parse("t.yaml", text).map_err(|error| error.to_string()).unwrap()
    }

    fn asked(config: &Config, url: &str, headers: &[&str], name: Option<&str>) -> Result<String, String> {
        let question = Question::new(url, "GET", headers, name).map_err(|unclear| unclear.to_string())?;
        let listener = listener(config, &question).map_err(|unclear| unclear.to_string())?.listener;
        let headers = received(listener, question.head().map_err(|unclear| unclear.to_string())?)
            .map_err(|refusal| refusal.to_string())?;
        let tried = route(listener, &headers);
        // The same as when it is served.
        let [host, path] = [&b":authority"[..], b":path"].map(|name| headers.get(name).unwrap_or_default());
        let takes = |matcher: &RouteMatch| matcher.matches(host, path, |name| crate::config::joined(&headers, name));
        assert!(tried.passed_by.iter().all(|(route, _)| !takes(&route.matcher)));
        assert!(tried.taken.is_none_or(|route| takes(&route.matcher)));
        let why: Vec<_> = tried.passed_by.iter().map(|(route, why)| format!("{}: {why}", route.name)).collect();
        Ok(format!("{} {:?} {why:?}", listener.name, tried.taken.map(|route| &route.name)))
    }

    #[test]
    fn the_first_route_whose_conditions_are_met_takes_it() {
        let config = config(FILE);
        let asked = |url: &str, headers: &[&str]| asked(&config, url, headers, Some("plain")).unwrap();
        assert_eq!(asked("http://a.example/", &[]), "plain Some(\"host\") []");
        assert_eq!(
            asked("http://b.example/api", &["x-user: me"]),
            "plain Some(\"user\") [\"host: it is for another host than \\\"b.example\\\"\"]"
        );
        let none = asked("http://b.example/other", &["x-user: me"]);
        assert!(none.contains("None") && none.contains("user: it is for another path than"), "{none}");
        let none = asked("http://b.example/api", &[]);
        assert!(none.contains("user: the request has no header x-user"), "{none}");
        assert!(none.contains("secure: the header x-forwarded-proto is"), "{none}");
    }

    /// The gateway says what the scheme is, whatever the client says.
    #[test]
    fn a_header_that_the_gateway_sets_is_not_the_clients() {
        let config = config(FILE);
        for (url, header) in [("http://b.example/", "x-forwarded-proto: https"), ("https://b.example/", "x-a: 1")] {
            let none = asked(&config, url, &[header], Some("plain")).unwrap();
            assert!(none.starts_with("plain None"), "{none}");
        }
        let config = self::config(&FILE.replace("x-user, present: true", "x-forwarded-for, exact: 127.0.0.1"));
        let taken = asked(&config, "http://b.example/api", &[], Some("plain")).unwrap();
        assert!(taken.starts_with("plain Some(\"user\")"), "{taken}");
    }

    #[test]
    fn the_url_leads_to_a_listener_or_the_question_names_one() {
        let config = config(FILE);
        let asked = |url: &str, name| asked(&config, url, &[], name);
        assert!(asked("http://127.0.0.2:8080/", None).unwrap().starts_with("other Some"));
        for (url, name, told) in [
            ("http://a.example:8080/", None, "several listeners have port 8080; name one of plain (127.0.0.1:8080)"),
            ("http://a.example:81/", None, "no listener speaks plain HTTP at port 81"),
            ("https://a.example:8080/", None, "no listener speaks TLS at port 8080"),
            ("http://a.example:8080/", Some("main"), "no listener is called \"main\"; there are plain"),
        ] {
            let error = asked(url, name).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn the_only_listener_takes_every_url() {
        let config = config(
            "listeners: [{ name: main, address: 127.0.0.1:0, routes: [{ cluster: e }] }]\nclusters: [{ name: e, echo: {} }]\n",
        );
        assert!(asked(&config, "https://a.example/", &[], None).unwrap().starts_with("main Some"));
        let refused = asked(&config, "http://a.example/", &["host: a", "host: b"], None).unwrap_err();
        assert!(refused.contains("more than one Host field"), "{refused}");
    }
}
