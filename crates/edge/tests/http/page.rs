//! The page: its files, their types, and what a browser is told about them.

use flate2::read::GzDecoder;
use std::io::Read as _;

use crate::harness::{Request, Setup, TestServer, with, with_server};

const CSP_PARTS: &[&str] =
    &["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"];

#[test]
fn the_page_is_there_with_its_scripts_and_styles() {
    with_server(async |server: &TestServer| {
        let index = server.ask(Request::get("/")).await;
        assert_eq!((index.status, index.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let html = String::from_utf8(index.body.clone()).expect("text");
        let mut bytes = 0;
        let references = html.split(['"', '\'']).filter(|part| part.starts_with('/') && part.contains('.'));
        for path in references {
            let reply = server.ask(Request::get(path).header("Accept-Encoding", "gzip, br")).await;
            assert_eq!(reply.status, 200, "{path}");
            let kind = reply.header("content-type").expect("a type");
            let expected = match path.rsplit('.').next() {
                Some("js") => "text/javascript; charset=utf-8",
                Some("css") => "text/css; charset=utf-8",
                _ => kind,
            };
            assert_eq!(kind, expected);
            bytes += reply.body.len();
        }
        assert!(bytes > 0, "the page has scripts");
        assert!(bytes + html.len() < 150 * 1024, "{bytes} bytes on the wire");
    });
}

#[test]
fn every_answer_says_what_a_browser_may_do_with_it() {
    with_server(async |server: &TestServer| {
        for path in ["/", "/api/v1/characters", "/nothing", "/health"] {
            let reply = server.ask(Request::get(path)).await;
            let policy = reply.header("content-security-policy").expect("a policy");
            for part in CSP_PARTS {
                assert!(policy.contains(part), "{part} in {policy}");
            }
            assert!(!policy.contains("unsafe"));
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
            assert_eq!(reply.header("access-control-allow-origin"), None);
        }
    });
}

#[test]
fn what_a_browser_has_is_not_sent_again() {
    with_server(async |server: &TestServer| {
        let first = server.ask(Request::get("/")).await;
        let tag = first.header("etag").expect("a tag").to_owned();
        assert_eq!(first.header("cache-control"), Some("no-cache"));
        for known in [tag.clone(), format!("\"other\", {tag}"), format!("W/{tag}"), "*".to_owned()] {
            let again = server.ask(Request::get("/").header("If-None-Match", &known)).await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
            assert_eq!(again.header("etag"), Some(tag.as_str()));
        }
        assert_eq!(server.ask(Request::get("/").header("If-None-Match", "\"other\"")).await.status, 200);
    });
}

#[test]
fn compressed_for_who_takes_it() {
    with_server(async |server: &TestServer| {
        let plain = server.ask(Request::get("/")).await;
        let cases = [
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("GZIP", true),
            ("gzip;q=0", false),
            ("br", false),
            ("identity", false),
        ];
        for (accepted, compressed) in cases {
            let reply = server.ask(Request::get("/").header("Accept-Encoding", accepted)).await;
            assert_eq!(reply.header("content-encoding"), compressed.then_some("gzip"), "{accepted}");
            assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
            assert_eq!(
                reply.header("etag") != plain.header("etag"),
                compressed,
                "another encoding, another tag"
            );
            if compressed {
                let mut body = Vec::new();
                GzDecoder::new(&reply.body[..]).read_to_end(&mut body).expect("gzip");
                assert!(reply.body.len() < plain.body.len() && body == plain.body);
            }
        }
        let tag = server.ask(Request::get("/").header("Accept-Encoding", "gzip")).await;
        let tag = tag.header("etag").expect("a tag");
        let again = Request::get("/").header("Accept-Encoding", "gzip").header("If-None-Match", tag);
        let again = server.ask(again).await;
        assert_eq!((again.status, again.header("content-encoding")), (304, None));
    });
}

#[test]
fn a_head_has_no_body_and_a_post_no_business() {
    with_server(async |server: &TestServer| {
        let mut client = server.connect().await;
        client.send(&Request::new("HEAD", "/").header("Connection", "close").bytes()).await;
        let bytes = client.rest(usize::MAX).await;
        let text = String::from_utf8(bytes).expect("a head alone");
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\n"), "{text}");
        let reply = server.ask(Request::post("/")).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
    });
}

#[test]
fn a_folder_is_read_each_time_and_never_left() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(folder.join("js")).expect("a folder");
    std::fs::write(folder.join("index.html"), "first").expect("a file");
    std::fs::write(folder.join("js/app.js"), "app").expect("a file");
    std::fs::write(folder.join("notes.txt"), "not of the page").expect("a file");
    std::fs::write(folder.with_file_name("outside.html"), "outside").expect("a file");
    let mut setup = Setup::default();
    setup.config.web_dir = Some(folder.clone());
    with(setup, async |server: &TestServer| {
        assert_eq!(server.ask(Request::get("/")).await.body, b"first");
        std::fs::write(folder.join("index.html"), "second").expect("a file");
        assert_eq!(server.ask(Request::get("/")).await.body, b"second");
        assert_eq!(server.ask(Request::get("/js/app.js")).await.body, b"app");
        let outside = [
            "/../outside.html",
            "/js/../../outside.html",
            "/js",
            "/js/",
            "/notes.txt",
            "/%2e%2e/outside.html",
        ];
        for path in outside {
            assert_eq!(server.ask(Request::get(path)).await.status, 404, "{path}");
        }
    });
}
