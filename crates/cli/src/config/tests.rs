//! The configuration by data: sources in, values or mistakes out.

use super::*;

fn set(settings: &[&str]) -> Sources {
    Sources { set: settings.iter().map(|text| (*text).to_owned()).collect(), ..Sources::default() }
}

fn mistakes(sources: &Sources) -> Vec<String> {
    match Config::load(sources) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn without_a_word_it_is_the_defaults_of_the_crates() {
    let config = Config::load(&Sources::default()).expect("the defaults");
    assert_eq!(config.rates(), tidings_edge::limits::Rates::default());
    assert_eq!(config.rules().limits, tidings_world::limits::Limits::default());
    assert_eq!(config.rules().grace_ms, tidings_world::zone::GRACE_MS);
    assert_eq!(config.rules().command_chars, config.edge().limits.command_chars, "one limit");
    let (edge, default) = (config.edge(), tidings_edge::config::EdgeConfig::default());
    assert_eq!(format!("{edge:?}"), format!("{default:?}"));
    assert!(!config.http().secure_cookies && config.http().guests);
    assert_eq!(config.listen().to_string(), "127.0.0.1:4000");
    assert_eq!(config.world(), None);
}

#[test]
fn later_layers_win_and_say_who_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("t.toml");
    std::fs::write(&file, "guests = false\n[limits]\nburst = 1\nsay_per_minute = 2\njson_depth = 3\n")
        .expect("written");
    let sources = Sources {
        file: Some(file.clone()),
        environment: [
            ("TIDINGS_LIMITS_SAY_PER_MINUTE", "20"),
            ("TIDINGS_LIMITS_JSON_DEPTH", "30"),
            ("PATH", "/bin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        flags: vec![("listen", "--listen", "[::1]:1".into())],
        set: vec!["limits.json_depth=300".into(), "listen=127.0.0.1:2".into()],
    };
    let config = Config::load(&sources).expect("no mistake");
    assert_eq!(config.edge().limits.burst, 1);
    assert_eq!(config.rules().limits.say_per_minute, 20);
    assert_eq!(config.edge().limits.json_depth, 300);
    assert_eq!(config.listen().port(), 2);
    assert_eq!(config.origin("limits.burst").to_string(), format!("{}:3", file.display()));
    assert_eq!(config.origin("limits.say_per_minute").to_string(), "TIDINGS_LIMITS_SAY_PER_MINUTE");
    assert_eq!(config.origin("listen").to_string(), "--set listen");
    assert_eq!(config.report()["guests"]["value"], false);
    assert_eq!(config.report()["limits.frame_bytes"]["from"], "default");
}

#[test]
fn all_mistakes_are_told_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("t.toml");
    std::fs::write(&file, "lisen = 'x'\n[limits]\nbursts = 1\nsay_per_minute = 'many'\n[sesion]\na = 1\n")
        .expect("written");
    let sources = Sources {
        file: Some(file.clone()),
        environment: [("TIDINGS_GUEST".to_owned(), "true".to_owned())].into(),
        flags: vec![("listen", "--listen", "nowhere".into())],
        set: vec!["burst=1".into(), "nonsense".into(), "limits.burst=-3".into()],
    };
    let at = |line: usize| format!("{}:{line}", file.display());
    assert_eq!(
        mistakes(&sources),
        [
            format!("{}: unknown key 'limits.bursts': did you mean 'limits.burst'?", at(3)),
            format!(
                "{}: 'limits.say_per_minute' takes a whole number from 0 to 1000000000, not 'string'",
                at(4)
            ),
            format!("{}: unknown key 'lisen': did you mean 'listen'?", at(1)),
            format!("{}: unknown key 'sesion': 'tidings config' lists the keys", at(5)),
            "TIDINGS_GUEST: unknown variable 'TIDINGS_GUEST': did you mean 'TIDINGS_GUESTS'?".into(),
            "--listen: 'listen' takes an address and a port, as in 127.0.0.1:4000, not 'nowhere'".into(),
            "--set burst: unknown key 'burst': did you mean 'limits.burst'?".into(),
            "--set nonsense: --set takes KEY=VALUE".into(),
            "--set limits.burst: 'limits.burst' takes a whole number from 0 to 1000000000, not '-3'".into(),
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = Sources { file: Some(folder.path().join("none.toml")), ..Sources::default() };
    assert!(mistakes(&missing)[0].contains("none.toml:1: cannot be read"), "{:?}", mistakes(&missing));
    let file = folder.path().join("bad.toml");
    for (text, line) in [("guests = \n", 1), ("guests = true\n[[[", 2), (&"a.".repeat(10_000), 1)] {
        std::fs::write(&file, text).expect("written");
        let found = mistakes(&Sources { file: Some(file.clone()), ..Sources::default() });
        assert!(found.iter().any(|mistake| mistake.contains(&format!("bad.toml:{line}: "))), "{found:?}");
    }
}

#[test]
fn what_this_version_does_not_have_is_refused() {
    let found = mistakes(&set(&["nats=nats://x", "database=postgres://x", "roles=edge"]));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|mistake| mistake.contains("this version")));
    assert_eq!(mistakes(&set(&["session.stale_seconds=25", "log.level=tidings_edge=loud"])).len(), 2);
}

#[test]
fn production_refuses_what_is_not_safe_and_says_what_would_allow_it() {
    let with = |more: &[&str]| {
        let settings = [&["profile=production", "listen=0.0.0.0:4000"], more].concat();
        mistakes(&set(&settings))
    };
    let found = with(&[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("proxy.trusted") && found[0].contains("allow.plaintext_http = true"),
        "{found:?}"
    );
    for fine in ["proxy.trusted=10.0.0.1", "listen=127.0.0.1:4000", "allow.plaintext_http=true"] {
        assert_eq!(with(&[fine]), [""; 0], "{fine}");
    }
    let proxied = "proxy.trusted=10.0.0.1";
    let found = with(&[proxied, "limits.accounts_per_minute_per_address=0"]);
    assert!(found.len() == 1 && found[0].contains("allow.unlimited_registration = true"), "{found:?}");
    assert_eq!(with(&[proxied, "limits.dry_run=true"]).len(), 2);
    let closed = ["registration=false", "guests=false", "limits.accounts_per_minute_per_address=0"];
    assert_eq!(with(&[&[proxied], &closed[..]].concat()), [""; 0]);
    assert_eq!(with(&[proxied, "http.secure_cookies=false"]).len(), 1);
    let config = Config::load(&set(&["profile=production"])).expect("loopback");
    assert!(config.http().secure_cookies);
    assert_eq!(config.origin("http.secure_cookies"), &Origin::Profile);
}

#[test]
fn production_on_this_machine_alone_warns_of_a_proxy_that_is_not_named() {
    let warnings = |settings: &[&str]| Config::load(&set(settings)).expect("it starts").warnings();
    let found = warnings(&["profile=production"]);
    assert!(found.len() == 1 && found[0].contains("'proxy.trusted'"), "{found:?}");
    assert_eq!(warnings(&["profile=production", "proxy.trusted=127.0.0.1"]), [""; 0]);
    assert_eq!(
        warnings(&["profile=production", "listen=0.0.0.0:4000", "allow.plaintext_http=true"]),
        [""; 0]
    );
    assert_eq!(warnings(&[]), [""; 0]);
}

#[test]
fn no_text_makes_it_panic() {
    use proptest::prelude::*;
    proptest!(|(text in ".{0,200}")| {
        let _ = Config::load(&set(&[&text]));
        let environment = [(format!("TIDINGS_{text}"), text.clone())].into();
        let _ = Config::load(&Sources { environment, ..Sources::default() });
        for key in KEYS {
            let _ = key.kind.parse(&text);
        }
    });
}

#[test]
fn the_page_about_configuration_lists_every_key() {
    let page = include_str!("../../../../docs/configuration.md");
    let listed: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 4).collect();
    let rows: Vec<String> = KEYS
        .iter()
        .map(|key| {
            let default = serde_json::to_string(&(key.default)()).expect("JSON");
            format!("| `{}` | `{default}` | {} |", key.name, key.help)
        })
        .collect();
    assert_eq!(listed, rows);
    let example = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tidings.toml");
    std::fs::write(&file, example).expect("written");
    assert_eq!(mistakes(&Sources { file: Some(file), ..Sources::default() }), [""; 0]);
}
