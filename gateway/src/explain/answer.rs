//! The way of a request, for people and for programs.

use std::fmt;
use std::time::Duration;

use portcullis::chain::convert::Refusal;
use portcullis::rights::{Capabilities, OnDenial};
use portcullis_config::reader::duration;
use serde_json::{Map, Value, json};

use super::choice::{self, ChosenListener, Tried};
use super::outline::{Outline, Placed};
use super::question::{Question, Unclear};
use crate::config::{
    ClusterKind, HostMatch, Listener, Mismatch, PathMatch, Plugin, Route, RouteAction, cluster_to_json, route_to_json,
};

/// The way of a request through a configuration.
#[derive(Debug)]
pub(crate) struct Explanation<'o> {
    outline: &'o Outline,
    listener: ChosenListener<'o>,
    way: Way<'o>,
}

/// The way behind the listener.
#[derive(Debug)]
enum Way<'o> {
    /// The listener takes TCP streams.
    Tcp {
        cluster: &'o str,
        idle: Duration,
    },
    /// No plugin sees the request.
    Refused(Refusal),
    Http(Tried<'o>),
}

/// A time limit, and who sets it.
struct Limit {
    what: &'static str,
    limit: String,
    by: String,
}

impl<'o> Explanation<'o> {
    /// Finds the way of a request. Nothing is sent, and no plugin runs.
    ///
    /// # Errors
    /// No listener would take the request.
    pub(crate) fn of(outline: &'o Outline, question: &Question) -> Result<Self, Unclear> {
        let listener = choice::listener(outline.config(), question)?;
        let way = match &listener.listener.tcp_proxy {
            Some(proxy) => Way::Tcp { cluster: &proxy.cluster, idle: proxy.idle_timeout },
            None => match choice::received(listener.listener, question.head()?) {
                Err(refusal) => Way::Refused(refusal),
                Ok(headers) => Way::Http(choice::route(listener.listener, &headers)),
            },
        };
        Ok(Self { outline, listener, way })
    }

    /// Formats it for programs.
    pub(crate) fn to_json(&self) -> Value {
        let listener = self.listener.listener;
        let mut members = Map::new();
        let mut set = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        set(
            "listener",
            json!({ "name": listener.name, "address": listener.address.to_string(), "why": self.listener.why }),
        );
        match &self.way {
            Way::Tcp { cluster, .. } => set("cluster", self.cluster_json(cluster)),
            Way::Refused(refusal) => {
                let status = status(refusal);
                set("refused", json!({ "status": status, "why": refusal.to_string() }));
                return members.into();
            }
            Way::Http(tried) => {
                let passed_by =
                    tried.passed_by.iter().map(|(route, why)| json!({ "route": route.name, "why": why.to_string() }));
                set("passed_by", passed_by.collect());
                set(
                    "route",
                    tried.taken.map_or(Value::Null, |route| {
                        let mut of = route_to_json(route);
                        of["name"] = route.name.as_str().into();
                        of
                    }),
                );
                let clusters = tried.taken.map_or(&[][..], clusters);
                set("clusters", clusters.iter().map(|(name, _)| self.cluster_json(name)).collect());
            }
        }
        let (plugins, whose) = self.chain();
        let chain = plugins.iter().filter_map(|plugin| Some(self.plugin_json(plugin, self.outline.placed(plugin)?)));
        set("chain", json!({ "of": whose, "plugins": chain.collect::<Vec<_>>() }));
        let limits = self
            .limits()
            .into_iter()
            .map(|limit| (limit.what.to_owned(), json!({ "limit": limit.limit, "by": limit.by })));
        set("timeouts", Value::Object(limits.collect()));
        members.into()
    }

    /// Returns the plugins that the request passes, and whose they are.
    fn chain(&self) -> (&'o [Plugin], &'static str) {
        let listener: &Listener = self.listener.listener;
        let own = match &self.way {
            Way::Http(tried) => tried.taken.and_then(|route| route.plugins.as_deref()),
            _ => None,
        };
        own.map_or((&listener.plugins, "listener"), |own| (own, "route"))
    }

    fn limits(&self) -> Vec<Limit> {
        let listener = self.listener.listener;
        let by_listener = || format!("listener {}", listener.name);
        let mut limits: Vec<Limit> = Vec::new();
        for (what, limit) in listener.timeouts.members(listener.tcp_proxy.is_some()) {
            if let Some(limit) = limit.as_str() {
                limits.push(Limit { what, limit: limit.to_owned(), by: by_listener() });
            }
        }
        match &self.way {
            Way::Tcp { idle, .. } => {
                limits.push(Limit { what: "idle_timeout", limit: duration::format(*idle), by: by_listener() });
            }
            Way::Refused(_) => {}
            Way::Http(tried) => {
                let Some(route) = tried.taken else { return limits };
                for (name, _) in clusters(route) {
                    let Some(ClusterKind::Endpoints(servers)) =
                        self.outline.config().cluster(name).map(|cluster| &cluster.kind)
                    else {
                        continue;
                    };
                    let by = || format!("cluster {name}");
                    limits.push(Limit {
                        what: "connect_timeout",
                        limit: duration::format(servers.connect_timeout),
                        by: by(),
                    });
                    let (limit, by) = match route.timeout {
                        Some(limit) => (limit, format!("route {}", route.name)),
                        None => (servers.request_timeout, by()),
                    };
                    limits.push(Limit { what: "request_timeout", limit: duration::format(limit), by });
                }
            }
        }
        limits
    }

    fn cluster_json(&self, name: &str) -> Value {
        self.outline.config().cluster(name).map_or(Value::Null, cluster_to_json)
    }

    fn plugin_json(&self, plugin: &Plugin, placed: &Placed) -> Value {
        let sandbox = self.outline.sandboxes().get(&placed.key);
        json!({
            "name": plugin.name,
            "sandbox": placed.key.to_string(),
            "shares_its_vm_with": self.neighbours(plugin, placed),
            "code": sandbox.map(|sandbox| sandbox.code()),
            "engine": sandbox.map(|sandbox| sandbox.engine()),
            "isolation": plugin.vm.isolation.name(),
            "failure_policy": plugin.failure_policy.name(),
            "deadline": duration::format(plugin.vm.limits.deadline),
            "capabilities": match placed.plugin.capabilities == Capabilities::ALL {
                true => json!("all"),
                false => json!(placed.plugin.capabilities.held().collect::<Vec<_>>()),
            },
            "rules": placed.plugin.rules.texts(),
            "on_denial": placed.plugin.on_denial.name(),
        })
    }

    /// Returns the other plugins of a plugin's VM.
    fn neighbours(&self, plugin: &Plugin, placed: &Placed) -> Vec<&'o str> {
        let names = self.outline.sandboxes().get(&placed.key).map(|sandbox| sandbox.plugins()).unwrap_or_default();
        names.iter().map(String::as_str).filter(|name| *name != plugin.name).collect()
    }

    fn write_plugin(&self, f: &mut fmt::Formatter<'_>, number: usize, plugin: &Plugin) -> fmt::Result {
        let Some(placed) = self.outline.placed(plugin) else { return Ok(()) };
        let sandbox = self.outline.sandboxes().get(&placed.key);
        let short: String = placed.key.to_string().chars().take(12).collect();
        let engine = sandbox.map_or("", |sandbox| sandbox.engine());
        let vm = match self.neighbours(plugin, placed).as_slice() {
            [] => "a VM of its own".to_owned(),
            names => format!("a VM that it shares with {}", names.join(", ")),
        };
        let lasting = match plugin.vm.isolation.name() {
            "stream" => ", made for each stream",
            _ => "",
        };
        writeln!(f, "  {number}. {}", plugin.name)?;
        if let Some(sandbox) = sandbox {
            writeln!(f, "     code      {}", sandbox.code())?;
        }
        writeln!(f, "     sandbox   {short}: {vm}{lasting}, on {engine}")?;
        let held = placed.plugin.capabilities.held().count();
        match placed.plugin.capabilities == Capabilities::ALL {
            true => writeln!(f, "     rights    all: it has no capability_restriction_config")?,
            false => writeln!(
                f,
                "     rights    {held} of {} capabilities; anything else {}",
                Capabilities::names().count(),
                match placed.plugin.on_denial {
                    OnDenial::Answer => "is denied",
                    _ => "ends its VM",
                }
            )?,
        }
        for (capability, rules) in placed.plugin.rules.texts() {
            let rules: Vec<_> = rules.iter().map(|(key, values)| format!("{key} {}", values.join(", "))).collect();
            writeln!(f, "               {capability}: {}", rules.join("; "))?;
        }
        let deadline = duration::format(plugin.vm.limits.deadline);
        writeln!(f, "     fails     {}; a callback may take {deadline}", plugin.failure_policy.name())
    }
}

/// Returns the clusters of a route with their weights.
fn clusters(route: &Route) -> &[(String, u32)] {
    match &route.action {
        RouteAction::Forward(forward) => forward.clusters(),
        RouteAction::Respond(_) | RouteAction::Redirect(_) => &[],
    }
}

fn status(refusal: &Refusal) -> Option<u16> {
    match refusal {
        Refusal::Answer(status, _) => Some(status.as_u16()),
        Refusal::Malformed(_) => None,
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listener = self.listener.listener;
        writeln!(f, "listener    {} at {}: {}", listener.name, listener.address, self.listener.why)?;
        match &self.way {
            Way::Refused(refusal) => {
                let status = status(refusal).map_or_else(String::new, |status| format!(" with {status}"));
                return writeln!(f, "refused     before any plugin sees it{status}: {refusal}");
            }
            Way::Tcp { .. } => writeln!(f, "route       none: the listener takes TCP streams")?,
            Way::Http(tried) => {
                for (route, why) in &tried.passed_by {
                    writeln!(f, "not         route {}: {why}", route.name)?;
                }
                match tried.taken {
                    None => writeln!(f, "route       none: 404, unless a plugin answers")?,
                    Some(route) => writeln!(f, "route       {}: {}", route.name, conditions(route))?,
                }
            }
        }
        let (plugins, whose) = self.chain();
        match plugins.len() {
            0 => writeln!(f, "chain       no plugins")?,
            count => writeln!(f, "chain       {count} plugin(s) of the {whose}, in this order")?,
        }
        for (index, plugin) in plugins.iter().enumerate() {
            self.write_plugin(f, index + 1, plugin)?;
        }
        match &self.way {
            Way::Tcp { cluster, .. } => writeln!(f, "cluster     {cluster}: {}", self.servers(cluster))?,
            Way::Refused(_) => {}
            Way::Http(tried) => {
                if let Some(route) = tried.taken {
                    self.write_action(f, route)?;
                }
                if !plugins.is_empty() {
                    writeln!(
                        f,
                        "then        plugins may change the head; the route is looked for again, among those of this chain"
                    )?;
                }
            }
        }
        for Limit { what, limit, by } in self.limits() {
            let limit = if limit == "0s" { "none" } else { &limit };
            writeln!(f, "timeout     {what} {limit} ({by})")?;
        }
        Ok(())
    }
}

impl Explanation<'_> {
    fn write_action(&self, f: &mut fmt::Formatter<'_>, route: &Route) -> fmt::Result {
        match &route.action {
            RouteAction::Respond(response) => writeln!(f, "answer      {} by the route itself", response.status),
            RouteAction::Redirect(redirect) => {
                writeln!(f, "answer      {}, a redirect by the route itself", redirect.status)
            }
            RouteAction::Forward(forward) => {
                let total: u64 = forward.clusters().iter().map(|(_, weight)| u64::from(*weight)).sum();
                for (name, weight) in forward.clusters() {
                    let share = match forward.clusters().len() {
                        1 => String::new(),
                        _ => format!(", {weight} of {total} requests"),
                    };
                    writeln!(f, "cluster     {name}: {}{share}", self.servers(name))?;
                }
                match &route.prefix_rewrite {
                    Some(by) => writeln!(f, "rewrite     the matched part of the path becomes {by}"),
                    None => Ok(()),
                }
            }
        }
    }

    fn servers(&self, cluster: &str) -> String {
        match self.outline.config().cluster(cluster).map(|cluster| &cluster.kind) {
            None => "not there".to_owned(),
            Some(ClusterKind::Echo) => "the gateway answers with a description of the request".to_owned(),
            Some(ClusterKind::Endpoints(servers)) => {
                let addresses: Vec<_> = servers.endpoints.iter().map(|server| server.address.to_string()).collect();
                format!("{} ({})", addresses.join(", "), servers.protocol.name())
            }
        }
    }
}

/// Returns the conditions of a route in words.
fn conditions(route: &Route) -> String {
    let matcher = &route.matcher;
    let mut parts = Vec::new();
    match &matcher.host {
        None => {}
        Some(HostMatch::Exact(host)) => parts.push(format!("host {host}")),
        Some(HostMatch::Suffix(suffix)) => parts.push(format!("host *{suffix}")),
        Some(HostMatch::Prefix(prefix)) => parts.push(format!("host {prefix}*")),
    }
    match &matcher.path {
        PathMatch::Prefix(prefix) if prefix == "/" => {}
        PathMatch::Prefix(prefix) => parts.push(format!("paths that begin with {prefix}")),
        PathMatch::Exact(path) => parts.push(format!("path {path}")),
        PathMatch::Separated(path) => parts.push(format!("path {path} and those below it")),
        PathMatch::Regex(pattern) => parts.push(format!("paths that match {}", pattern.as_str())),
    }
    parts.extend(matcher.headers.iter().map(|header| format!("its condition on the header {}", header.name)));
    match parts.len() {
        0 => "takes every request".to_owned(),
        _ => format!("takes {}", parts.join(", ")),
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "it is for another host than {host:?}"),
            Self::Path(path) => write!(f, "it is for another path than {path:?}"),
            Self::Header { name, value: Some(value) } => write!(f, "the header {name} is {value:?}"),
            Self::Header { name, value: None } => write!(f, "the request has no header {name}"),
        }
    }
}
