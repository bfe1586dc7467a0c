//! The HTTP side: accounts, sessions, characters, tickets. One connection a request; a client needs few.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, ORIGIN, SET_COOKIE};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::error::Error;

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The HTTP interface of a server.
#[derive(Debug, Clone)]
pub struct Api {
    address: SocketAddr,
}

/// A sign-in.
#[derive(Clone)]
pub struct SignedIn {
    /// The access token: 15 minutes.
    pub access_token: String,
    /// Goes with requests that the cookie authenticates, and with a ticket.
    pub csrf_token: String,
    /// The refresh cookie, `name=value`.
    pub cookie: Option<String>,
}

/// An answer: status, JSON body (null where there is none), cookie.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
    /// The cookie it sets, with its attributes.
    pub set_cookie: Option<String>,
}

impl Api {
    /// The server at this address, in plain HTTP.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// The server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes an account.
    pub async fn register(&self, username: &str, password: &str) -> Result<Value, Error> {
        let body = json!({ "username": username, "password": password });
        self.expect(Method::POST, "/api/v1/accounts", &[], Some(body), 201).await.map(|answer| answer.body)
    }

    /// Signs in.
    pub async fn sign_in(&self, username: &str, password: &str) -> Result<SignedIn, Error> {
        let body = json!({ "username": username, "password": password });
        self.session("/api/v1/session", Some(body), &[]).await
    }

    /// Enters as a guest.
    pub async fn guest(&self) -> Result<SignedIn, Error> {
        self.session("/api/v1/guests", None, &[]).await
    }

    /// Renews a sign-in by its cookie.
    pub async fn refresh(&self, session: &SignedIn) -> Result<SignedIn, Error> {
        let cookie = session.cookie.clone().unwrap_or_default();
        let origin = format!("http://{}", self.address);
        self.session(
            "/api/v1/session/refresh",
            None,
            &[(COOKIE.as_str(), &cookie), (ORIGIN.as_str(), &origin)],
        )
        .await
    }

    /// The account's characters: id and name.
    pub async fn characters(&self, session: &SignedIn) -> Result<Vec<(String, String)>, Error> {
        let bearer = format!("Bearer {}", session.access_token);
        let headers = [(AUTHORIZATION.as_str(), bearer.as_str())];
        let answer = self.expect(Method::GET, "/api/v1/characters", &headers, None, 200).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = answer.body["characters"].as_array().cloned().unwrap_or_default();
        Ok(list.iter().map(|one| (text(&one["id"]), text(&one["name"]))).collect())
    }

    /// Makes a character.
    pub async fn create_character(&self, session: &SignedIn, name: &str) -> Result<Value, Error> {
        let bearer = format!("Bearer {}", session.access_token);
        let headers = [(AUTHORIZATION.as_str(), bearer.as_str())];
        let body = Some(json!({ "name": name }));
        self.expect(Method::POST, "/api/v1/characters", &headers, body, 201).await.map(|answer| answer.body)
    }

    /// A single-use ticket that opens a socket within 30 seconds, with the CSRF token.
    pub async fn ticket(&self, session: &SignedIn) -> Result<String, Error> {
        let bearer = format!("Bearer {}", session.access_token);
        let headers = [(AUTHORIZATION.as_str(), bearer.as_str())];
        let answer = self.expect(Method::POST, "/api/v1/tickets", &headers, None, 201).await?;
        Ok(answer.body["ticket"].as_str().unwrap_or_default().to_owned())
    }

    async fn session(
        &self,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Result<SignedIn, Error> {
        let answer = self.send(Method::POST, path, headers, body).await?;
        let answer = accepted(answer, &Method::POST, path, &[200, 201])?;
        let text = |name: &str| answer.body[name].as_str().unwrap_or_default().to_owned();
        let cookie = answer.set_cookie.as_deref().and_then(|c| c.split(';').next()).map(str::to_owned);
        Ok(SignedIn { access_token: text("access_token"), csrf_token: text("csrf_token"), cookie })
    }

    async fn expect(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
        status: u16,
    ) -> Result<Answer, Error> {
        let answer = self.send(method.clone(), path, headers, body).await?;
        accepted(answer, &method, path, &[status])
    }

    /// Sends one request and gives its answer, whatever its status.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Answer, Error> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let payload = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(payload))).map_err(Error::connection)?;
        let stream = TcpStream::connect(self.address).await.map_err(Error::connection)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Error::connection)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(Error::connection)?;
            read(response).await
        };
        tokio::pin!(exchange, connection);
        // The connection is driven until the answer is there, and dropped with it.
        tokio::select! {
            answer = &mut exchange => answer,
            ended = &mut connection => {
                ended.map_err(Error::connection)?;
                exchange.await
            }
        }
    }
}

async fn read(response: Response<hyper::body::Incoming>) -> Result<Answer, Error> {
    let status = response.status().as_u16();
    let set_cookie =
        response.headers().get(SET_COOKIE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body =
        Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(Error::connection)?;
    let bytes = body.to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
        if bytes.is_empty() { Value::Null } else { String::from_utf8_lossy(&bytes).into() }
    });
    Ok(Answer { status, body, set_cookie })
}

fn accepted(answer: Answer, method: &Method, path: &str, statuses: &[u16]) -> Result<Answer, Error> {
    if statuses.contains(&answer.status) {
        return Ok(answer);
    }
    let text = |name: &str| answer.body[name].as_str().map(str::to_owned);
    Err(Error::Http {
        method: method.to_string(),
        path: path.to_owned(),
        status: answer.status,
        detail: text("detail").unwrap_or_else(|| answer.body.to_string()),
        code: text("code"),
    })
}
