//! Tags that plugins put into the names of metrics, as labels.

use crate::config::{StatsTag, TagValue};

/// Takes the labels out of a name, in the order of the rules, and returns the rest of the name and the labels.
///
/// As in Envoy each rule is matched against the whole name, so their order does not matter; of two rules for one label the first
/// that matches counts. A value that is empty is no label, for Prometheus neither.
pub(super) fn taken_out<'r>(name: &str, rules: &'r [StatsTag]) -> (String, Vec<(&'r str, String)>) {
    if rules.is_empty() {
        return (name.to_owned(), Vec::new());
    }
    let mut tags: Vec<(&str, String)> = Vec::new();
    let mut stays = vec![true; name.len()];
    for StatsTag { label, value, .. } in rules {
        if tags.iter().any(|(known, _)| known == label) {
            continue;
        }
        match value {
            TagValue::Fixed(value) => tags.push((label, value.clone())),
            TagValue::Regex(regex) => {
                let Some((removed, value)) = regex.find(name) else { continue };
                stays.get_mut(removed).into_iter().flatten().for_each(|stays| *stays = false);
                tags.push((label, value));
            }
        }
    }
    tags.retain(|(_, value)| !value.is_empty());
    let left: Vec<u8> = name.bytes().zip(stays).filter_map(|(byte, stays)| stays.then_some(byte)).collect();
    (String::from_utf8_lossy(&left).into_owned(), tags)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::config::Config;

    fn rules(tags: &str) -> Vec<StatsTag> {
        let text = format!(
            "listeners: [{{address: 127.0.0.1:0, routes: [{{cluster: e}}]}}]\nclusters: [{{name: e, echo: {{}}}}]\n\
             stats_config: {{stats_tags: [{tags}]}}\n"
        );
        Config::parse("test.yaml", &text).unwrap().stats_tags
    }

    #[test]
    fn tags_are_taken_out_of_a_name() {
        let rules =
            rules(r#"{tag_name: tenant, regex: "(_tenant_([a-z]+))"}, {tag_name: zone, regex: "(_zone_([a-z]+))"}"#);
        for (name, left, labels) in [
            ("calls_tenant_acme_zone_b", "calls", &[("tenant", "acme"), ("zone", "b")][..]),
            ("calls_zone_b_tenant_acme", "calls", &[("tenant", "acme"), ("zone", "b")]),
            ("a_zone_b_calls", "a_calls", &[("zone", "b")]),
            ("calls", "calls", &[]),
            ("_zone_b", "", &[("zone", "b")]),
        ] {
            let expected: Vec<_> = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
            assert_eq!(taken_out(name, &rules), (left.to_owned(), expected), "{name}");
        }
    }

    /// As Envoy does it, which has each rule match the whole name, and the example of its documentation.
    #[test]
    fn rules_do_not_depend_on_their_order() {
        let forward = r#"{tag_name: a, regex: "^cluster\\.((.+?)\\.)"}, {tag_name: b, regex: "(foo_(c[a-z]+)\\.)"}"#;
        let backward = r#"{tag_name: b, regex: "(foo_(c[a-z]+)\\.)"}, {tag_name: a, regex: "^cluster\\.((.+?)\\.)"}"#;
        let name = "cluster.foo_cluster.upstream_rq";
        for rules in [rules(forward), rules(backward)] {
            let (left, mut tags) = taken_out(name, &rules);
            tags.sort();
            assert_eq!(left, "cluster.upstream_rq");
            assert_eq!(tags, [("a", "foo_cluster".to_owned()), ("b", "cluster".to_owned())]);
        }
    }

    #[test]
    fn the_first_rule_of_a_label_that_matches_counts_and_empty_values_are_no_labels() {
        let rules = rules(
            "{tag_name: t, regex: (x)}, {tag_name: t, regex: (b)}, {tag_name: t, regex: (a)}, {tag_name: none, regex: '(c(y)?)'}, \
             {tag_name: all, fixed_value: every}",
        );
        assert_eq!(
            taken_out("abc", &rules),
            ("a".to_owned(), vec![("t", "b".to_owned()), ("all", "every".to_owned())])
        );
    }
}
