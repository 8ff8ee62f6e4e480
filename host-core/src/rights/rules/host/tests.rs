use super::*;

fn authority(texts: &[&str], name: &str) -> bool {
    let list = Patterns::new(texts.iter().copied(), Likeness::Folded, authority_pattern);
    allows_authority(&list, name.as_bytes())
}

fn looked_up(texts: &[&str], name: &str) -> bool {
    let list = Patterns::new(texts.iter().copied(), Likeness::Folded, name_pattern);
    allows_name(&list, name.as_bytes())
}

#[test]
fn a_host_has_one_verdict_in_all_spellings() {
    for (listed, spellings) in [
        (
            "a.example",
            &[
                "a.example",
                "A.Example",
                "a.example.",
                "a.example..",
                "a.example:",
                "a.example:80",
                "a.example:0443",
                "a.example.:80",
            ][..],
        ),
        ("a.example.:00080", &["a.example", "a.example:443"]),
        ("a:8080", &["a:8080", "A.:08080"]),
        (
            "127.0.0.1",
            &[
                "127.1",
                "127.0.1",
                "0x7f.1",
                "0177.0.0.1",
                "2130706433",
                "0x7F000001",
                "127.0.0.1.",
                "[::ffff:127.0.0.1]",
                "[::FFFF:7f00:1]:80",
            ],
        ),
        ("0x7f.1", &["127.0.0.1"]),
        ("[::1]", &["[::1]", "[0:0::1]", "[::1]:", "[::0.0.0.1]:80"]),
    ] {
        for name in spellings {
            assert!(authority(&[listed], name), "{listed} {name}");
            assert!(!authority(&["*", &format!("!{listed}")], name), "{listed} {name}");
        }
    }
    assert!(!authority(&["a"], "a:8080") && !authority(&["*", "!a"], "a:8080"), "any port is taken away");
    assert!(authority(&["*", "!a:8080"], "a") && authority(&["*.b"], "a.b.") && authority(&["a:*"], "a:8080"));
    assert!(!authority(&["*", "!127.*"], "0x7f.2.3.4"), "stars see the one spelling");
}

#[test]
fn what_is_no_host_is_not_allowed() {
    for name in [
        "",
        ".",
        "a@b",
        "a\\b",
        "a%2eb",
        "b\u{fc}cher",
        "a\u{3002}b",
        "[::1",
        "::1:80x",
        "a:65536",
        "a:+80",
        "a:b",
        "a b",
        "[fe80::1%1]",
        "[::1%25lo]",
        &"a".repeat(254),
    ] {
        assert!(!authority(&["*"], name), "{name}");
        assert!(!looked_up(&["*"], name), "{name}");
    }
    assert!(authority(&["*"], &"a".repeat(253)) && authority(&["*"], "a_b"));
}

#[test]
fn a_name_that_is_looked_up_has_no_port() {
    for name in ["::1", "0::1", "[::1]"] {
        assert!(looked_up(&["::1"], name) && !looked_up(&["*", "![::1]"], name), "{name}");
    }
    for name in ["127.1", "::ffff:127.0.0.1", "127.0.0.1."] {
        assert!(!looked_up(&["*", "!127.0.0.1"], name), "{name}");
    }
    assert!(!looked_up(&["*"], "a:80") && looked_up(&["*.b."], "A.b"));
}

#[test]
fn addresses_are_read_as_resolvers_do() {
    for (text, address) in [
        ("1.2.3.4", Some([1, 2, 3, 4])),
        ("1.2.772", Some([1, 2, 3, 4])),
        ("1.131844", Some([1, 2, 3, 4])),
        ("4294967295", Some([255; 4])),
        ("4294967296", None),
        ("1.2.3.256", None),
        ("256.1", None),
        ("08", None),
        ("1..2", None),
        ("1.2.3.4.5", None),
        ("0x1g", None),
        ("1e3", None),
    ] {
        assert_eq!(address_v4(text).map(|address| address.octets()), address, "{text}");
    }
}
