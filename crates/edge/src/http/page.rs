//! The page: the files of `web/`, in the binary, each compressed once, when it is first asked for.
//!
//! A browser keeps what it has and asks whether it is still so (`ETag`, `no-cache`): after an upgrade it has the new
//! page at once. Names are looked up, never joined to a path, so there is nothing to climb out of.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};

use super::response::{self, Answer};

#[derive(RustEmbed)]
#[folder = "../../web/"]
#[include = "*.html"]
#[include = "*.js"]
#[include = "*.css"]
#[include = "*.svg"]
#[include = "*.png"]
#[include = "*.ico"]
#[include = "*.woff2"]
#[include = "*.webmanifest"]
#[exclude = "node_modules/*"]
#[exclude = "tests/*"]
#[exclude = "*.test.js"]
struct Web;

/// Every type the page is made of, and whether compressing it helps.
const TYPES: &[(&str, &str, bool)] = &[
    ("html", "text/html; charset=utf-8", true),
    ("js", "text/javascript; charset=utf-8", true),
    ("css", "text/css; charset=utf-8", true),
    ("svg", "image/svg+xml", true),
    ("webmanifest", "application/manifest+json", true),
    ("png", "image/png", false),
    ("ico", "image/x-icon", false),
    ("woff2", "font/woff2", false),
];
/// Largest file served from a folder: the whole page is to be under 150 KB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The files.
pub enum Page {
    /// Those in the binary, by path.
    Embedded(HashMap<String, File>),
    /// Those in a folder, read each time.
    Folder(PathBuf),
}

/// One file, ready to be sent.
pub struct File {
    kind: &'static str,
    compressible: bool,
    plain: Bytes,
    tag: String,
    gzip: OnceLock<Option<Bytes>>,
}

fn type_of(path: &str) -> Option<(&'static str, bool)> {
    let (_, extension) = path.rsplit_once('.')?;
    let known = TYPES.iter().find(|(known, ..)| *known == extension)?;
    Some((known.1, known.2))
}

impl Page {
    /// The page in the binary, or the one in a folder.
    pub fn new(folder: Option<PathBuf>) -> Self {
        if let Some(folder) = folder {
            return Self::Folder(folder);
        }
        let file = |path: String| Some((path.clone(), File::new(&path, Web::get(&path)?.data.into_owned())?));
        Self::Embedded(Web::iter().map(|path| path.into_owned()).filter_map(file).collect())
    }

    /// The answer to a request for a path of the page, if there is such a file.
    pub fn answer(&self, path: &str, headers: &HeaderMap) -> Option<Answer> {
        let name = path.strip_prefix('/')?;
        let name = if name.is_empty() { "index.html" } else { name };
        match self {
            Self::Embedded(files) => files.get(name).map(|file| file.answer(headers)),
            Self::Folder(folder) => read(folder, name).map(|file| file.answer(headers)),
        }
    }
}

/// A file of a folder, by a name whose every part is a plain one.
fn read(folder: &Path, name: &str) -> Option<File> {
    let plain = |part: &str| {
        !part.starts_with('.')
            && !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if !name.split('/').all(plain) {
        return None;
    }
    let path = folder.join(name);
    if std::fs::metadata(&path).ok()?.len() > FILE_BYTES_MAX {
        return None;
    }
    File::new(name, std::fs::read(path).ok()?)
}

impl File {
    fn new(path: &str, bytes: Vec<u8>) -> Option<Self> {
        let (kind, compressible) = type_of(path)?;
        let tag = Sha256::digest(&bytes).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        Some(Self { kind, compressible, plain: bytes.into(), tag, gzip: OnceLock::new() })
    }

    fn gzip(&self) -> Option<&Bytes> {
        let compressed = self.gzip.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&self.plain).ok()?;
            let bytes = encoder.finish().ok()?;
            (self.compressible && bytes.len() < self.plain.len()).then(|| bytes.into())
        });
        compressed.as_ref()
    }

    fn answer(&self, headers: &HeaderMap) -> Answer {
        let gzip = if self.compressible && takes_gzip(headers) { self.gzip() } else { None };
        let tag = format!("\"{}{}\"", self.tag, if gzip.is_some() { "-gz" } else { "" });
        let mut answer = if has_tag(headers, &tag) {
            response::empty(StatusCode::NOT_MODIFIED)
        } else {
            response::bytes(StatusCode::OK, self.kind, gzip.unwrap_or(&self.plain).clone())
        };
        let fields = answer.headers_mut();
        if gzip.is_some() && fields.contains_key(header::CONTENT_TYPE) {
            fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        fields.insert(header::ETAG, HeaderValue::from_str(&tag).expect("hex digits in quotes"));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        fields.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        answer
    }
}

fn list(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let refused = |parameters: &str| {
        let weight = parameters.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        weight.is_some_and(|weight| weight <= 0.0)
    };
    list(headers, header::ACCEPT_ENCODING).any(|one| {
        let (name, parameters) = one.split_once(';').unwrap_or((one, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !refused(parameters)
    })
}

fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    list(headers, header::IF_NONE_MATCH).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}
