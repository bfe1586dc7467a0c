//! `tidings certs`: what is made, by whom it may be read, and that nothing is replaced by accident.

use std::os::unix::fs::PermissionsExt;

use crate::harness::Place;

const FILES: [(&str, bool); 7] = [
    ("ca.pem", false),
    ("ca-key.pem", true),
    ("server.pem", false),
    ("server-key.pem", true),
    ("client.pem", false),
    ("client-key.pem", true),
    ("certs.json", false),
];

fn read(place: &Place, file: &str) -> String {
    std::fs::read_to_string(place.path().join("made").join(file)).expect(file)
}

#[test]
fn certificates_are_made_renewed_and_not_replaced_by_accident() {
    let place = Place::new();
    let make =
        ["certs", "--out", "made", "--name", "north", "--host", "10.0.0.1,nats.example", "--host", "::1"];
    let told = place.run(&make).ends(0).out;
    for part in ["10.0.0.1, nats.example, ::1", "nats.ca_file", "until 20", "--renew", "verify: true"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    for (file, secret) in FILES {
        let mode = std::fs::metadata(place.path().join("made").join(file)).expect(file).permissions().mode();
        assert_eq!(mode & 0o077 == 0, secret, "{file}: {mode:o}");
        assert!(!told.contains(&read(&place, file)), "{file}");
    }
    let before = FILES.map(|(file, _)| read(&place, file));
    let again = place.run(&make).ends(1).err;
    assert!(again.contains("ca-key.pem") && again.contains("--force"), "{again}");
    assert_eq!(FILES.map(|(file, _)| read(&place, file)), before, "nothing was touched");

    let renewed = place.run(&["certs", "--out", "made", "--renew", "--json"]).ends(0).json();
    assert_eq!(renewed["hosts"], serde_json::json!(["10.0.0.1", "nats.example", "::1"]));
    assert!(
        renewed["files"].as_array().is_some_and(|files| files.iter().all(|one| one["file"] != "made/ca.pem"))
    );
    let after = FILES.map(|(file, _)| read(&place, file));
    for (number, (file, _)) in FILES.iter().enumerate() {
        let kept = ["ca.pem", "ca-key.pem", "certs.json"].contains(file);
        assert_eq!(after[number] == before[number], kept, "{file}");
    }
    place.run(&[&make[..], &["--force"]].concat()).ends(0);
    assert_ne!(read(&place, "ca.pem"), before[0]);
}

#[test]
fn what_cannot_be_made_is_told() {
    let place = Place::new();
    for (args, told) in [
        (&["certs", "--out", "a"][..], "--name NAME"),
        (&["certs", "--out", "a", "--name", "no spaces"], "--name takes"),
        (&["certs", "--out", "a", "--name", "x", "--host", "a b"], "'a b' is neither"),
        (&["certs", "--out", "a", "--renew"], "--renew needs a/certs.json"),
        (&["certs", "--out", "a", "--name", "x", "--days", "0"], "--days"),
    ] {
        let ran = place.run(args).ends(2);
        assert!(ran.err.contains(told), "{told}: {ran:?}");
        assert!(!place.path().join("a").exists());
    }
}
