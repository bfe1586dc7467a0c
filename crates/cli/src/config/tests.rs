//! The configuration by data: sources in, values or mistakes out.

use tidings_bus::{Login, Secret};

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
    assert_eq!(config.rules().command_chars, config.edge("e").limits.command_chars, "one limit");
    let default = tidings_edge::config::EdgeConfig::default();
    let edge = config.edge(&default.edge);
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
    assert_eq!(config.edge("e").limits.burst, 1);
    assert_eq!(config.rules().limits.say_per_minute, 20);
    assert_eq!(config.edge("e").limits.json_depth, 300);
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
fn what_does_not_go_together_is_refused_by_name() {
    let (nats, tls) = ("nats.servers=nats://127.0.0.1:4222", "nats.servers=tls://nats.example");
    for (settings, told) in [
        (&["database=postgres://x"][..], "'database': this version"),
        (&["roles=edge"], "'roles': edge alone needs"),
        (&["roles=zone,services"], "'nats.servers' (--nats)"),
        (&["roles=zone", nats], "'roles': zone and services keep one storage"),
        (&["roles=edge,services", nats], "'roles': zone and services keep one storage"),
        (&["roles=zones", nats], "'roles' takes all, or some of edge, zone and services, not 'zones'"),
        (&["roles=", nats], "'roles' takes all"),
        (&["nats.servers=10.0.0.1:4222"], "'nats.servers' takes addresses as in tls://"),
        (&["nats.servers=nats://ann:hidden@10.0.0.1"], "'nats.user' with 'nats.password_file'"),
        (&["nats.servers=tls://a,nats://b"], "'nats.servers': some are nats:// and some tls://"),
        (&["nats.ca_file=ca.pem", nats], "'nats.ca_file': is of TLS"),
        (&["nats.tls_first=true", nats], "'nats.tls_first': is of TLS"),
        (&["nats.cert_file=c.pem", tls], "'nats.cert_file': goes with 'nats.key_file'"),
        (&["nats.key_file=k.pem", tls], "'nats.key_file': goes with 'nats.cert_file'"),
        (&["nats.user=ann", nats], "'nats.user': goes with 'nats.password_file'"),
        (&["nats.password=hidden", nats], "'nats.password': goes with 'nats.user'"),
        (&["nats.token=hidden", "nats.token_file=t", nats], "'nats.token': 'nats.token_file' is set as well"),
        (&["nats.token=hidden", "nats.nkey_file=n", nats], "'nats.nkey_file': 'nats.token' is set as well"),
        (&["nats.token_file=t"], "'nats.token_file': is of NATS"),
        (&["nats.replicas=2", nats], "'nats.replicas': takes 1, 3 or 5"),
        (&["nats.replicas=7", nats], "a whole number from 1 to 5"),
        (&["subject_prefix=mine"], "'subject_prefix': is of names on NATS"),
        (&["subject_prefix=no spaces", nats], "'subject_prefix': "),
        (&["instance=Ann's"], "'instance' takes 1 to 24 lower-case letters"),
        (&["nats.server=nats://127.0.0.1"], "did you mean 'nats.servers'?"),
    ] {
        let found = mistakes(&set(settings));
        assert!(found.len() == 1 && found[0].contains(told), "{settings:?}: {found:?}");
        assert!(!found[0].contains("hidden"), "{found:?}");
    }
    for fine in [
        &["roles=all", nats][..],
        &["roles=edge", nats],
        &["roles=services,zone", nats, "nats.replicas=3", "subject_prefix=mine", "instance=north-1"],
        &["roles=edge,zone,services"],
        &["nats.cert_file=c.pem", "nats.key_file=k.pem", "nats.ca_file=ca.pem", "nats.server_name=n", tls],
        &["nats.user=ann", "nats.password_file=p", tls],
        &["nats.credentials_file=c.creds", nats],
    ] {
        assert_eq!(mistakes(&set(fine)), [""; 0], "{fine:?}");
    }
    assert_eq!(mistakes(&set(&["session.stale_seconds=25", "log.level=tidings_edge=loud"])).len(), 2);
}

#[test]
fn what_goes_to_the_bus_is_what_was_set_and_no_password_is_shown() {
    let settings = [
        "nats.servers=tls://10.0.0.1:4222, tls://b",
        "nats.replicas=3",
        "nats.ping_seconds=4",
        "retention.minutes=7",
        "roles=edge",
        "nats.user=ann",
        "nats.password=sesame",
        "nats.ca_file=ca.pem",
    ];
    let config = Config::load(&set(&settings)).expect("fine");
    let nats = config.nats("north-1").expect("it is on NATS");
    assert_eq!(nats.servers, ["tls://10.0.0.1:4222", "tls://b"]);
    let security = nats.security.clone();
    assert_eq!(security.ca_file, Some(std::path::PathBuf::from("ca.pem")));
    let Login::User { user, password: Secret::Text(password) } = &security.login else {
        panic!("{security:?}")
    };
    assert_eq!((user.as_str(), password.as_str()), ("ann", "sesame"));
    assert!(!format!("{nats:?}").contains("sesame"));
    assert_eq!((nats.name.as_str(), nats.replicas), ("north-1", 3));
    let seconds = std::time::Duration::from_secs;
    assert_eq!((nats.bus.health.every, nats.bus.health.pong_wait), (seconds(4), seconds(2)));
    nats.bus.check().expect("it holds");
    assert_eq!(nats.retention, config.kept());
    assert_eq!(nats.retention.age, Some(std::time::Duration::from_secs(7 * 60)));
    assert!(!nats.buckets.is_empty() && !nats.retention_rules.is_empty());
    assert_eq!(nats.servers_shown(), "tls://10.0.0.1:4222, tls://b");
    let report = config.report();
    assert_eq!(report["nats.servers"]["value"], json!(["tls://10.0.0.1:4222", "tls://b"]));
    assert_eq!(
        (&report["nats.password"]["value"], &report["nats.token"]["value"]),
        (&json!("(hidden)"), &json!(""))
    );
    assert!(!report.to_string().contains("sesame"), "{report}");
    let wrong = mistakes(&set(&["nats.servers=http://ann:sesame@10.0.0.1"]));
    assert!(wrong.len() == 1 && !wrong[0].contains("sesame"), "{wrong:?}");
    assert!(Config::load(&Sources::default()).expect("the defaults").nats("x").is_none());
}

#[test]
fn who_serves_no_people_takes_no_edges_address() {
    let listen = |settings: &[&str]| {
        let config = Config::load(&set(settings)).expect("fine");
        (config.listen().to_string(), config.origin("listen").to_string())
    };
    let world = ["roles=zone,services", "nats.servers=nats://127.0.0.1"];
    assert_eq!(listen(&world), ("127.0.0.1:0".into(), "roles".into()));
    let told = [&world[..], &["listen=127.0.0.1:9"]].concat();
    assert_eq!(listen(&told), ("127.0.0.1:9".into(), "--set listen".into()));
    assert_eq!(listen(&["roles=edge", world[1]]), ("127.0.0.1:4000".into(), "default".into()));
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
    let open = "nats.servers=nats://127.0.0.1,nats://10.0.0.1:4222";
    let found = with(&[proxied, open]);
    assert!(found.len() == 1 && found[0].contains("allow.plaintext_nats = true"), "{found:?}");
    assert!(found[0].contains("nats://10.0.0.1:4222"), "{found:?}");
    for fine in
        ["nats.servers=tls://10.0.0.1", "nats.servers=nats://127.0.0.1", "nats.servers=nats://[::1]:4222"]
    {
        assert_eq!(with(&[proxied, fine]), [""; 0], "{fine}");
    }
    assert_eq!(with(&[proxied, open, "allow.plaintext_nats=true"]), [""; 0]);
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
    let nats = ["profile=production", "proxy.trusted=127.0.0.1", "nats.servers=tls://a"];
    let found = warnings(&nats);
    assert!(found.len() == 1 && found[0].contains("nats.replicas = 3"), "{found:?}");
    assert_eq!(warnings(&[&nats[..], &["nats.replicas=3"]].concat()), [""; 0]);
}

#[test]
fn secrets_that_anybody_may_read_are_refused_in_production_and_warned_of_elsewhere() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let token = format!("nats.token_file={}", file.display());
    let nats = ["nats.servers=tls://a", "nats.replicas=3", &token];
    let production = [&nats[..], &["profile=production", "proxy.trusted=10.0.0.1"]].concat();
    for (mode, open) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
        std::fs::write(&file, "hidden").expect("written");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("changed");
        let found = mistakes(&set(&production));
        let warned = Config::load(&set(&nats)).expect("it starts").warnings();
        assert_eq!(
            (found.len(), warned.len()),
            (usize::from(open), usize::from(open)),
            "{mode:o}: {found:?}"
        );
        if open {
            assert!(
                found[0].contains("chmod 600") && found[0].contains("allow.readable_secrets = true"),
                "{found:?}"
            );
            assert!(warned[0].contains("'nats.token_file'"), "{warned:?}");
        }
        assert_eq!(mistakes(&set(&[&production[..], &["allow.readable_secrets=true"]].concat())), [""; 0]);
    }
}

#[test]
fn a_secret_in_a_configuration_file_that_anybody_may_read_is_no_secret() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tidings.toml");
    let from = |profile: &str, more: &[&str]| {
        let set = [&["nats.servers=tls://a", "nats.replicas=3", "proxy.trusted=10.0.0.1"][..], more].concat();
        let set = set.iter().map(|one| (*one).to_owned()).chain([format!("profile={profile}")]).collect();
        Sources { file: Some(file.clone()), set, ..Sources::default() }
    };
    for (mode, text, open) in [
        (0o600, "[nats]\nuser = 'u'\npassword = 'hunter2'\n", false),
        (0o644, "[nats]\nuser = 'u'\npassword = 'hunter2'\n", true),
        (0o644, "[nats]\ntoken = 'hunter2'\n", true),
        (0o644, "[nats]\nuser = 'u'\npassword_file = '/nowhere'\n", false),
        (0o644, "[nats]\ntoken = ''\n", false),
    ] {
        std::fs::write(&file, text).expect("written");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("changed");
        let found = mistakes(&from("production", &[]));
        let warned = Config::load(&from("development", &[])).expect("it starts").warnings();
        let count = usize::from(open);
        assert_eq!((found.len(), warned.len()), (count, count), "{mode:o} {text}: {found:?} {warned:?}");
        for one in found.iter().chain(&warned) {
            assert!(
                one.contains("' stands in ") && one.contains("_file'") && !one.contains("hunter2"),
                "{one}"
            );
        }
        assert_eq!(mistakes(&from("production", &["allow.readable_secrets=true"])), [""; 0]);
    }
    // What the environment says, no file does.
    std::fs::write(&file, "").expect("written");
    let environment = [("TIDINGS_NATS_TOKEN".to_owned(), "hunter2".to_owned())].into();
    let sources = Sources { environment, ..from("production", &[]) };
    assert_eq!(mistakes(&sources), [""; 0]);
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
