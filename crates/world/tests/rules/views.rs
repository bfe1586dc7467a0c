//! The views of a room, however many are in it.

use crate::*;

#[test]
fn a_view_has_pages() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    for n in 0..120 {
        table.enter(&format!("P{n}"), Role::Player);
    }
    let id = table.id("Ann");
    let see = |what: &str, page: Option<&str>| -> Option<serde_json::Value> {
        let view = table.zone.view(id, what, page, &table.catalogue, "en")?;
        Some(serde_json::from_str(&view).expect("JSON"))
    };
    let room = see("room", None).expect("a view");
    assert_eq!(room["character"]["name"], "Ann");
    assert_eq!(room["room"]["id"], "town_hall");
    assert_eq!(room["room"]["exits"]["east"]["place"], "Yard");
    assert_eq!(room["room"]["occupants"]["total"], 120);
    let mut names = Vec::new();
    let mut page = None;
    for expected in [50, 50, 20] {
        let view = see("occupants", page.as_deref()).expect("a view");
        let items = view["occupants"]["items"].as_array().expect("items").clone();
        assert_eq!(items.len(), expected);
        names.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
        page = view["occupants"]["next"].as_str().map(str::to_owned);
    }
    assert_eq!(page, None);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 120);
    assert!(see("occupants", Some("no token")).is_some(), "a token that is none shows the first page");
    let map = see("map", None).expect("a view");
    assert_eq!(map["map"]["here"], "town_hall");
    assert_eq!(map["map"]["rooms"].as_object().map(serde_json::Map::len), Some(3));
    assert_eq!(map["map"]["rooms"]["town_yard"]["at"], json!({ "x": 1, "y": 0 }));
    let commands = see("commands", None).expect("a view");
    assert!(commands["commands"]["say"].is_object() && commands["commands"]["kick"].is_null());
    assert!(see("nonsense", None).is_none());
    assert!(table.zone.view(character(999), "room", None, &table.catalogue, "en").is_none());
}

#[test]
fn a_crowd_fits_a_frame() {
    let mut zone = zone("town");
    let mut rng = StdRng::seed_from_u64(1);
    for n in 1..=2_000 {
        let name = format!("Somebody{n:032}");
        let state = json!({ "pose": "x".repeat(100) }).to_string();
        let ask = Ask::Enter(Box::new(Arrival { state, ..arrival(n, &name, Role::Player) }));
        let origin = Origin { session: crate::common::session(n), id: String::new() };
        step(&mut zone, Input::Command(Command { origin, character: character(n), ask }), 1_000, &mut rng);
    }
    let catalogue = tidings_protocol::Catalogue::builtin();
    let view = zone.view(character(1), "room", None, &catalogue, "en").expect("a view");
    assert!(view.len() < 32 * 1024);
    for line in ["look", "who", "channel who global"] {
        let origin = Origin { session: crate::common::session(1), id: line.to_owned() };
        let ask = Ask::Line(line.to_owned());
        let outputs = step(
            &mut zone,
            Input::Command(Command { origin, character: character(1), ask }),
            2_000,
            &mut rng,
        );
        let [text] = &texts(outputs)[..] else { panic!("one reply") };
        assert!(text.len() < 48 * 1024, "{line}: {}", text.len());
    }
}
