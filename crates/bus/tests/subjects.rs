//! The registry: what it refuses, and that no text a user can type reaches another subject.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::HashMap;

use proptest::prelude::*;
use tidings_bus::{Class, ErrorKind, Registry, SlowReader, TemplateDef, escape_token, unescape_token};

fn row(name: &'static str, template: &'static str) -> TemplateDef {
    TemplateDef {
        name,
        template,
        class: Class::Ephemeral,
        message: "text",
        max_payload: 100,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    }
}

fn refused(templates: &[&'static str]) -> String {
    let rows = templates.iter().enumerate().map(|(place, template)| row(["a", "b", "c"][place], template));
    let error = Registry::new(None, rows.collect()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Subject);
    error.to_string()
}

fn registry(prefix: Option<&str>) -> Registry {
    let wide =
        TemplateDef { wide: Some("an audit of everything"), ..row("wide", "{a:slug}.{b:slug}.{c:slug}.x.y") };
    let templates = vec![
        row("room", "room.{room:place}.log"),
        row("player", "player.{player:id}.log"),
        row("cmd", "cmd.zone.{zone:slug}"),
        row("say", "say.{to:token}"),
        row("pair", "pair.{a:token}.{b:token}"),
        row("many", "many.{a:slug}.{b:slug}.{c:slug}"),
        wide,
    ];
    Registry::new(prefix, templates).unwrap()
}

#[test]
fn mistakes_are_refused_by_name() {
    for (templates, expected) in [
        (&["a..b"][..], "not empty"),
        (&["a.*"], "letters, digits"),
        (&["a.>"], "letters, digits"),
        (&["a b"], "letters, digits"),
        (&[""], "not empty"),
        (&["a.{x:word}"], "a kind is"),
        (&["a.{x}"], "{name:kind}"),
        (&["{x:slug}.a"], "first token is a literal"),
        (&["a.{x:slug}", "a.{y:token}"], "overlap"),
        (&["a.{x:slug}", "a.b"], "overlap"),
        (&["a.{x:id}", "a.{y:slug}"], "overlap"),
        (&["a.b", "a.b"], "overlap"),
    ] {
        let found = refused(templates);
        assert!(found.contains(expected), "{templates:?}: {found}");
    }
    assert!(
        Registry::new(None, vec![row("a", "a.x"), row("a", "a.y")])
            .unwrap_err()
            .to_string()
            .contains("twice")
    );
    for prefix in ["", "a..b", "a b", "*", "a.>"] {
        assert!(Registry::new(Some(prefix), Vec::new()).is_err(), "{prefix}");
    }
    let both = refused(&["a.*", "b.*"]);
    assert_eq!(both.lines().count(), 2, "all mistakes together: {both}");
    assert!(Registry::new(None, vec![row("a", "a.{x:place}"), row("b", "a.{x:slug}")]).is_ok(), "never both");
}

#[test]
fn subjects_and_patterns() {
    for prefix in [None, Some("w1")] {
        let registry = registry(prefix);
        let with = |text: &str| prefix.map_or(text.to_owned(), |prefix| format!("{prefix}.{text}"));
        let room = registry.subject("room", &["harbour_quay"]).unwrap();
        assert_eq!(room.as_str(), with("room.harbour_quay.log"));
        let (parsed, parameters) = registry.parse(room.as_str()).unwrap();
        assert_eq!((parsed.clone(), parameters), (room.clone(), vec!["harbour_quay".to_owned()]));
        assert_eq!(registry.templates()[usize::from(parsed.template())].name, "room");
        let all = registry.pattern("room", &[None]).unwrap();
        assert_eq!(all.as_str(), with("room.*.log"));
        assert!(all.matches(&room));
        assert!(!all.matches(&registry.subject("cmd", &["z"]).unwrap()));
        let say = registry.subject("say", &["a.b *>"]).unwrap();
        assert_eq!(say.as_str(), with("say.a=2Eb=20=2A=3E"));
        assert_eq!(registry.parse(say.as_str()).unwrap().1, ["a.b *>"]);
        for (name, parameters) in [
            ("nothing", &["x"][..]),
            ("room", &[]),
            ("room", &["a_b", "c"]),
            ("room", &["a"]),
            ("room", &["A_b"]),
            ("room", &["a_b_c"]),
            ("player", &["abc"]),
            ("cmd", &["a.b"]),
            ("cmd", &[""]),
            ("cmd", &["a\r\n"]),
            ("say", &[""]),
        ] {
            let error = registry.subject(name, parameters).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Subject, "{name} {parameters:?}");
        }
        assert!(registry.subject("say", &[&".".repeat(90)]).is_err(), "longer than a subject may be");
        assert!(registry.pattern("many", &[None, None, None]).is_err(), "more than two wildcards");
        assert!(registry.pattern("many", &[None, Some("b"), None]).is_ok());
        assert!(registry.pattern("wide", &[None, None, None]).is_ok(), "declared wide");
    }
    let registry = registry(Some("w1"));
    for foreign in ["room.a_b.log", "w2.room.a_b.log", "w1.room.a_b.log.x", "w1.", ""] {
        assert!(registry.parse(foreign).is_err(), "{foreign}");
    }
}

/// Texts as people and attackers type them.
fn typed() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-c.*> =_-]{0,6}",
        "(=[0-9A-F]{2}|[a-z.]){0,5}",
        Just("room.a_b.log".to_owned()),
        Just("=2E".to_owned()),
    ]
}

proptest! {
    #[test]
    fn no_text_reaches_another_subject(texts in prop::collection::vec((typed(), typed()), 1..20)) {
        let registry = registry(Some("w"));
        let mut seen: HashMap<String, (String, Vec<String>)> = HashMap::new();
        for (one, other) in texts {
            let tries = [
                ("say", vec![one.clone()]),
                ("cmd", vec![one.clone()]),
                ("room", vec![other.clone()]),
                ("player", vec![one.clone()]),
                ("pair", vec![one.clone(), other.clone()]),
            ];
            for (name, parameters) in tries {
                let given: Vec<&str> = parameters.iter().map(String::as_str).collect();
                let Ok(subject) = registry.subject(name, &given) else { continue };
                let tokens: Vec<&str> = subject.as_str().split('.').collect();
                let expected = 1 + registry.templates()[usize::from(subject.template())].template.split('.').count();
                prop_assert_eq!(tokens.len(), expected, "no text adds a token");
                prop_assert!(subject.as_str().len() <= 255);
                let clean = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=');
                prop_assert!(tokens.iter().all(|token| !token.is_empty() && token.bytes().all(clean)));
                let (parsed, back) = registry.parse(subject.as_str()).unwrap();
                prop_assert_eq!(parsed.template(), subject.template());
                prop_assert_eq!(&back, &parameters);
                let before = seen.insert(subject.as_str().to_owned(), (name.to_owned(), parameters.clone()));
                if let Some(before) = before {
                    prop_assert_eq!(before, (name.to_owned(), parameters), "two texts, one subject");
                }
            }
        }
    }

    #[test]
    fn escaping_is_injective(one in typed(), other in typed()) {
        if one != other {
            prop_assert_ne!(escape_token(&one), escape_token(&other));
        }
        if !one.is_empty() {
            prop_assert_eq!(unescape_token(&escape_token(&one)), Some(one));
        }
    }

    #[test]
    fn what_parses_was_built(text in "[a-z=.0-9A-F_-]{0,30}") {
        let registry = registry(None);
        if let Ok((subject, parameters)) = registry.parse(&text) {
            let name = registry.templates()[usize::from(subject.template())].name;
            let given: Vec<&str> = parameters.iter().map(String::as_str).collect();
            let built = registry.subject(name, &given).unwrap();
            prop_assert_eq!(built.as_str(), text);
        }
    }
}
