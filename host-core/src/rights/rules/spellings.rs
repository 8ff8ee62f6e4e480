//! For every kind of rule: two spellings that an upstream, Prometheus, a resolver or the host itself takes for one thing get
//! one verdict, whatever the rule lists. The generators here know spellings; nothing here knows how rules compare them.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::select;

use super::Rules;
use super::rule::Rule;
use super::schema::{Family, Key};
use super::tests::texts;
use crate::abi::MapType;

/// Two spellings of one thing.
type Two = (String, String);

/// Returns a thing in two spellings, each chosen by `spell`.
fn two<T: Clone + std::fmt::Debug + 'static, S: Strategy<Value = String> + 'static>(
    thing: impl Strategy<Value = T> + 'static,
    spell: impl Fn(T) -> S + 'static,
) -> BoxedStrategy<Two> {
    thing.prop_flat_map(move |thing| (spell(thing.clone()), spell(thing))).boxed()
}

/// Lists of patterns that have to do with a thing: its spellings, other things, parts with stars, each maybe taken away.
fn lists(spelling: BoxedStrategy<String>) -> BoxedStrategy<Vec<String>> {
    let pattern = (spelling, 0..8_usize, 0..20_usize).prop_map(|(text, shape, at)| {
        let cut = text.char_indices().map(|(index, _)| index).nth(at).unwrap_or(text.len() / 2);
        let cut = (0..=cut).rev().find(|cut| text.is_char_boundary(*cut)).unwrap_or(0);
        let (start, end) = text.split_at(cut);
        match shape {
            0..=3 => text,
            4 => format!("{start}*"),
            5 => format!("*{end}"),
            6 => format!("*{end}*"),
            _ => "*".to_owned(),
        }
    });
    let pattern = (pattern, any::<bool>()).prop_map(|(text, taken)| if taken { format!("!{text}") } else { text });
    proptest::collection::vec(pattern, 0..4).boxed()
}

/// Returns a list, and two spellings of one thing that it may be about.
fn cases(two: BoxedStrategy<Two>) -> impl Strategy<Value = (Vec<String>, Two)> {
    let listed = prop_oneof![two.clone(), two.clone()].prop_map(|(one, _)| one).boxed();
    (lists(listed), two).prop_flat_map(|(list, two)| {
        // Most lists are about the thing itself.
        let own = [two.0.clone(), two.1.clone()];
        let extra = (select(own.to_vec()), any::<bool>(), any::<bool>());
        extra.prop_map(move |(text, is_there, taken)| {
            let mut list = list.clone();
            list.extend(is_there.then(|| if taken { format!("!{text}") } else { text }));
            (list, two.clone())
        })
    })
}

fn verdict(capability: &str, key: &str, list: &[String], family: Family, ask: impl Fn(&Rule) -> bool) -> Option<bool> {
    let list: Vec<_> = list.iter().map(String::as_str).collect();
    let rules = Rules::new(&texts(&[(capability, key, &list)])).ok()?;
    rules.get(family).map(ask)
}

fn mixed_case(text: &str) -> impl Strategy<Value = String> + use<> {
    let text = text.to_owned();
    proptest::collection::vec(any::<bool>(), text.len()).prop_map(move |upper| {
        let letter = |(letter, upper): (char, bool)| if upper { letter.to_ascii_uppercase() } else { letter };
        text.chars().zip(upper).map(letter).collect()
    })
}

/// Words with something between them.
fn words(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("[a-b]{1,2}", count)
}

fn joined(words: Vec<String>, between: &'static [&'static str]) -> impl Strategy<Value = String> {
    let count = words.len().saturating_sub(1);
    proptest::collection::vec(select(between), count).prop_map(move |between| {
        let mut between = between.into_iter();
        words.iter().fold(String::new(), |text, word| {
            if text.is_empty() { word.clone() } else { text + between.next().unwrap_or_default() + word }
        })
    })
}

fn headers() -> BoxedStrategy<Two> {
    two(words(1..4), |words| joined(words, &["-", "_", "."]).prop_flat_map(|name| mixed_case(&name)))
}

fn metrics() -> BoxedStrategy<Two> {
    let name = (any::<bool>(), words(1..4));
    two(name, |(has_digit, words)| {
        let start = if has_digit { vec!["2", "_2", ".2", "-2"] } else { vec![""] };
        (select(start), joined(words, &[".", "_", "-", " ", "/", "\n", "{"]))
            .prop_map(|(start, rest)| start.to_owned() + &rest)
    })
}

fn v4(address: Ipv4Addr) -> BoxedStrategy<String> {
    let number = |number: u32| {
        select(vec![format!("{number}"), format!("0{number:o}"), format!("0x{number:x}"), format!("0X{number:X}")])
    };
    let [a, b, c, d] = address.octets().map(u32::from);
    let (a, b, c, d) = (number(a), number(b), number(c), number(d));
    let bits = address.to_bits();
    let (last2, last3) = (number(bits & 0xffff), number(bits & 0xff_ffff));
    prop_oneof![
        Just(address.to_string()),
        (a.clone(), b.clone(), c, d).prop_map(|(a, b, c, d)| format!("{a}.{b}.{c}.{d}")),
        (a.clone(), b, last2).prop_map(|(a, b, rest)| format!("{a}.{b}.{rest}")),
        (a, last3).prop_map(|(a, rest)| format!("{a}.{rest}")),
        number(bits),
    ]
    .boxed()
}

fn v6(address: Ipv6Addr) -> BoxedStrategy<String> {
    let full = address.segments().map(|segment| format!("{segment:04x}")).join(":");
    let plain = address.segments().map(|segment| format!("{segment:X}")).join(":");
    select(vec![address.to_string(), address.to_string().to_ascii_uppercase(), full, plain]).boxed()
}

#[derive(Clone, Debug)]
enum Host {
    Name(Vec<String>),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

fn hosts() -> BoxedStrategy<Host> {
    let v4 = select(vec![[127, 0, 0, 1], [10, 0, 2, 3], [255, 255, 255, 255], [0, 0, 0, 0], [8, 9, 77, 1]]);
    let v6 = select(vec!["::1", "2001:db8::a:1", "fe80::1", "::"]);
    prop_oneof![
        2 => words(1..3).prop_map(Host::Name),
        1 => v4.prop_map(|octets| Host::V4(octets.into())),
        1 => v6.prop_map(|text| Host::V6(text.parse().unwrap_or(Ipv6Addr::LOCALHOST))),
    ]
    .boxed()
}

/// Returns a host as it is looked up, or as a request has it.
fn host(host: Host, is_bracketed: bool) -> BoxedStrategy<String> {
    let mapped = move |address: Ipv6Addr| v6(address);
    let bracketed = move |text: String| if is_bracketed { format!("[{text}]") } else { text };
    match host {
        Host::Name(words) => {
            let name = joined(words, &["."]).prop_flat_map(|name| mixed_case(&name));
            (name, select(vec!["", ".", ".."])).prop_map(|(name, dots)| name + dots).boxed()
        }
        Host::V4(address) => {
            prop_oneof![3 => v4(address), 1 => mapped(address.to_ipv6_mapped()).prop_map(bracketed)].boxed()
        }
        Host::V6(address) => v6(address).prop_map(bracketed).boxed(),
    }
}

fn names() -> BoxedStrategy<Two> {
    two(hosts(), |thing| host(thing, false))
}

fn authorities() -> BoxedStrategy<Two> {
    let usual = &["", ":", ":80", ":0080", ":443", ":00443"][..];
    let other = &[":8080", ":08080"][..];
    two((hosts(), select(vec![usual, other])), |(thing, ports)| {
        (host(thing, true), select(ports)).prop_map(|(host, port)| host + port)
    })
}

fn properties() -> BoxedStrategy<Two> {
    let header = |map: &'static str, name: &'static str| format!("{map}\0{name}");
    let group = |names: Vec<String>| (Just(names), any::<bool>()).boxed();
    let things = vec![
        vec!["request\0path".to_owned(), header("request\0headers", ":path")],
        vec!["request\0host".to_owned(), header("request\0headers", ":authority"), header("request\0headers", "host")],
        vec!["request\0method".to_owned(), header("request\0headers", ":method")],
        vec!["request\0scheme".to_owned(), header("request\0headers", ":scheme")],
        vec!["request\0referer".to_owned(), header("request\0headers", "referer")],
        vec!["request\0useragent".to_owned(), header("request\0headers", "user-agent")],
        vec!["request\0id".to_owned(), header("request\0headers", "x-request-id")],
        vec!["response\0code".to_owned(), header("response\0headers", ":status")],
        vec!["connection\0id".to_owned(), "connection_id".to_owned()],
        vec![header("request\0headers", "x-a")],
        vec![header("response\0headers", "x-b")],
        vec![header("response\0trailers", "x-c")],
    ];
    select(things)
        .prop_flat_map(group)
        .prop_flat_map(|(names, _)| {
            let spell = |name: String| match name.rsplit_once('\0') {
                Some((map, header)) if map.contains('\0') => {
                    let map = map.to_owned();
                    mixed_case(header).prop_map(move |header| format!("{map}\0{header}")).boxed()
                }
                _ => Just(name).boxed(),
            };
            (select(names.clone()).prop_flat_map(spell), select(names).prop_flat_map(spell))
        })
        .boxed()
}

/// As an operator writes it.
fn dotted(list: &[String]) -> Vec<String> {
    list.iter().map(|text| text.replace('\0', ".")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn headers_in_two_spellings((list, (one, other)) in cases(headers())) {
        for map in [MapType::RequestHeaders, MapType::ResponseTrailers] {
            for (capability, family) in
                [("proxy_get_header_map_value", Family::ReadHeaders), ("proxy_set_header_map_pairs", Family::WriteHeaders)]
            {
                let key = if map == MapType::RequestHeaders { "request_headers" } else { "response_trailers" };
                let ask = |name: &str| verdict(capability, key, &list, family, |rule| rule.shows(map, name.as_bytes()));
                prop_assert_eq!(ask(&one), ask(&other));
            }
        }
    }

    #[test]
    fn metrics_in_two_spellings((list, (one, other)) in cases(metrics())) {
        let ask = |name: &str| verdict("proxy_define_metric", "names", &list, Family::DefineMetric, |rule| {
            (rule.allows(Key::Names, name.as_bytes()), rule.takes_metric(name.as_bytes())) == (true, false)
        });
        prop_assert_eq!(ask(&one), ask(&other));
    }

    #[test]
    fn names_that_are_looked_up_in_two_spellings((list, (one, other)) in cases(names())) {
        let ask = |name: &str| verdict("envoy_resolve_dns", "names", &list, Family::ResolveDns, |rule| {
            rule.allows(Key::Names, name.as_bytes())
        });
        prop_assert_eq!(ask(&one), ask(&other));
    }

    #[test]
    fn authorities_in_two_spellings((list, (one, other)) in cases(authorities())) {
        for (capability, family) in [("proxy_http_call", Family::HttpCall), ("proxy_grpc_call", Family::GrpcCall)] {
            let ask = |name: &str| verdict(capability, "authorities", &list, family, |rule| {
                rule.allows(Key::Authorities, name.as_bytes())
            });
            prop_assert_eq!(ask(&one), ask(&other));
        }
    }

    #[test]
    fn methods_in_two_spellings((list, (one, other)) in cases(two(select(vec!["get", "delete", "x"]), mixed_case))) {
        let ask = |name: &str| verdict("proxy_http_call", "methods", &list, Family::HttpCall, |rule| {
            rule.allows(Key::Methods, name.as_bytes())
        });
        prop_assert_eq!(ask(&one), ask(&other));
    }

    #[test]
    fn properties_by_two_names((list, (one, other)) in cases(properties())) {
        let list = dotted(&list);
        for (capability, family) in [("proxy_get_property", Family::GetProperty), ("proxy_set_property", Family::SetProperty)] {
            let ask = |path: &str| verdict(capability, "paths", &list, family, |rule| rule.allows(Key::Paths, path.as_bytes()));
            prop_assert_eq!(ask(&one), ask(&other));
        }
    }

    /// Where two names are two things, as in tables of the host, a list that names one allows no other.
    #[test]
    fn what_has_one_spelling_is_compared_byte_by_byte(name in "[a-zA-Z._/-]{1,6}", other in "[a-zA-Z._/-]{1,6}") {
        for (capability, key, family, of) in [
            ("proxy_http_call", "upstreams", Family::HttpCall, Key::Upstreams),
            ("proxy_grpc_stream", "upstreams", Family::GrpcStream, Key::Upstreams),
            ("proxy_get_shared_data", "keys", Family::GetData, Key::Keys),
            ("proxy_set_shared_data", "keys", Family::SetData, Key::Keys),
            ("proxy_register_shared_queue", "names", Family::RegisterQueue, Key::Names),
            ("proxy_resolve_shared_queue", "vm_ids", Family::ResolveQueue, Key::VmIds),
            ("proxy_enqueue_shared_queue", "names", Family::Enqueue, Key::Names),
            ("proxy_dequeue_shared_queue", "names", Family::Dequeue, Key::Names),
            ("proxy_call_foreign_function", "names", Family::CallForeign, Key::Names),
            ("proxy_call_foreign_function", "filter_state", Family::CallForeign, Key::FilterState),
            ("proxy_call_foreign_function", "upstreams", Family::CallForeign, Key::Upstreams),
        ] {
            let list = [name.clone()];
            let allows = |asked: &str| verdict(capability, key, &list, family, |rule| rule.allows(of, asked.as_bytes()));
            prop_assert_eq!(allows(&name), Some(true));
            prop_assert_eq!(allows(&other), Some(name == other));
        }
    }
}
