//! One HTTP request an attempt, within a time limit.
//!
//! The environment's proxies are not consulted, redirects are not followed,
//! and of the answer at most 4 KiB are read. The time limit covers name
//! lookup, connection, TLS, request and answer; a status that came before it
//! is the answer, however its body ends.

use std::sync::Once;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Proxy, Response, Url, redirect};
use sha2::Sha256;

use crate::config::plan::HttpOptions;
use crate::model::Secret;

use super::mask::{Mask, url_secrets};
use super::{Answer, Error, chain, read_ca};

const ANSWER_BYTES_MAX: usize = 4_096;
const USER_AGENT: &str = concat!("tocsin/", env!("CARGO_PKG_VERSION"));

/// POSTs to one URL.
pub struct HttpSender {
    client: Client,
    url: Url,
    headers: HeaderMap,
    secret: Option<Secret>,
    /// A credential that the service wants in the body.
    field: Option<(&'static str, Secret)>,
    timeout: Duration,
    mask: Mask,
}

impl HttpSender {
    /// `headers` are added to every request; `secret` signs it.
    pub fn new(
        url: &Secret,
        headers: &[(String, Secret)],
        secret: Option<Secret>,
        http: &HttpOptions,
        timeout: Duration,
    ) -> Result<HttpSender, Error> {
        let parsed = parse(url)?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let (name, value) = header(name, value.expose())?;
            map.insert(name, value);
        }
        let hidden = headers.iter().map(|(_, value)| value.expose().to_owned());
        let hidden = hidden.chain(secret.iter().map(|secret| secret.expose().to_owned()));
        Ok(HttpSender {
            client: client(&parsed, http)?,
            mask: mask(url, http, hidden),
            url: parsed,
            headers: map,
            secret,
            field: None,
            timeout,
        })
    }

    /// Adds a credential as a field to every body, which is a JSON object.
    pub fn with_field(mut self, name: &'static str, value: Secret) -> HttpSender {
        self.mask.add(value.expose());
        self.field = Some((name, value));
        self
    }

    /// One attempt. The request's own headers go before configured ones.
    pub async fn post(
        &self,
        content_type: &str,
        headers: &[(String, String)],
        body: &str,
        now_unix: i64,
    ) -> Answer {
        let headers = match self.request_headers(content_type, headers, body, now_unix) {
            Ok(headers) => headers,
            Err(error) => return Answer::Unsendable { why: error.to_string() },
        };
        let Some(body) = self.with_credential(body) else {
            return Answer::Unsendable { why: "its body is no JSON object".to_owned() };
        };
        let request = self.client.post(self.url.clone()).headers(headers).body(body);
        exchange(request, self.timeout, &self.mask).await
    }

    /// The body as it is sent; the rendered one holds no credential.
    fn with_credential(&self, body: &str) -> Option<String> {
        let Some((name, value)) = &self.field else { return Some(body.to_owned()) };
        let rest = body.trim_start().strip_prefix('{')?;
        let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
        let value = serde_json::Value::from(value.expose());
        Some(format!("{{\"{name}\":{value}{comma}{rest}"))
    }

    fn request_headers(
        &self,
        content_type: &str,
        headers: &[(String, String)],
        body: &str,
        now_unix: i64,
    ) -> Result<HeaderMap, Error> {
        let mut map = self.headers.clone();
        for (name, value) in headers {
            let (name, value) = header(name, value)?;
            map.insert(name, value);
        }
        let (_, content_type) = header("Content-Type", content_type)?;
        map.insert(CONTENT_TYPE, content_type);
        if let Some(secret) = &self.secret {
            let (name, value) = header("X-Tocsin-Signature", &signature(secret, body, now_unix)?)?;
            map.insert(name, value);
        }
        Ok(map)
    }
}

/// The outbound heartbeat: a GET, or a POST of `body`, for its status alone.
/// The error is masked.
pub async fn ping(
    url: &Secret,
    body: Option<&str>,
    http: &HttpOptions,
    timeout: Duration,
) -> Result<u16, String> {
    let parsed = parse(url).map_err(|error| error.to_string())?;
    let client = client(&parsed, http).map_err(|error| chain(&error))?;
    let request = match body {
        None => client.get(parsed),
        Some(body) => {
            let is_json = body.trim_start().starts_with(['{', '[']);
            let content_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
            client.post(parsed).header(CONTENT_TYPE, content_type).body(body.to_owned())
        }
    };
    match exchange(request, timeout, &mask(url, http, [])).await {
        Answer::Status { code, .. } => Ok(code),
        Answer::Failed { why } | Answer::Unsendable { why } => Err(why),
    }
}

async fn exchange(request: reqwest::RequestBuilder, timeout: Duration, mask: &Mask) -> Answer {
    let mut head: Option<(u16, Option<String>)> = None;
    let mut text: Vec<u8> = Vec::new();
    let attempt = async {
        let mut response = request.send().await?;
        head = Some((response.status().as_u16(), retry_after(&response)));
        while text.len() < ANSWER_BYTES_MAX {
            let Some(chunk) = response.chunk().await? else {
                break;
            };
            let room = ANSWER_BYTES_MAX - text.len();
            text.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok::<(), reqwest::Error>(())
    };
    let result = tokio::time::timeout(timeout, attempt).await;
    if let Some((code, retry_after)) = head {
        let excerpt = mask.line(&String::from_utf8_lossy(&text));
        return Answer::Status { code, retry_after, excerpt };
    }
    let why = match result {
        Err(_) => format!("no answer within {}", crate::model::time::human(timeout)),
        Ok(Err(error)) => mask.line(&chain(&error.without_url())),
        Ok(Ok(())) => "no answer".to_owned(),
    };
    Answer::Failed { why }
}

fn retry_after(response: &Response) -> Option<String> {
    response.headers().get(RETRY_AFTER)?.to_str().ok().map(|text| text.chars().take(64).collect())
}

fn parse(url: &Secret) -> Result<Url, Error> {
    let parsed = Url::parse(url.expose()).map_err(|_| Error::Url)?;
    if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() {
        Ok(parsed)
    } else {
        Err(Error::Url)
    }
}

fn mask(url: &Secret, http: &HttpOptions, further: impl IntoIterator<Item = String>) -> Mask {
    let mut secrets = url_secrets(url.expose());
    if let Some(proxy) = &http.proxy {
        secrets.extend(url_secrets(proxy.expose()));
    }
    secrets.extend(further);
    Mask::new(secrets)
}

pub(super) fn client(url: &Url, http: &HttpOptions) -> Result<Client, Error> {
    install_provider();
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .pool_max_idle_per_host(0)
        .user_agent(USER_AGENT);
    let mut needs_tls = url.scheme() == "https";
    if let Some(proxy) = &http.proxy {
        needs_tls |= proxy.expose().starts_with("https:");
        builder = builder.proxy(Proxy::all(proxy.expose()).map_err(|_| Error::Proxy)?);
    }
    if let Some(path) = &http.ca_file {
        let certificates = Certificate::from_pem_bundle(&read_ca(path)?)
            .ok()
            .filter(|certificates| !certificates.is_empty())
            .ok_or_else(|| Error::CaContent { path: path.clone() })?;
        builder = builder.tls_certs_merge(certificates);
    } else if !needs_tls {
        // A host without any CA certificates can still speak plain HTTP.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| Error::Setup { why: chain(&error.without_url()) })
}

/// reqwest is built without a cryptographic provider of its own; the process
/// has one, ring's, for it and for mail.
fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that somebody installed one before: then that serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let fail = || Error::Header { name: name.to_owned() };
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fail())?;
    let mut value = HeaderValue::from_str(value).map_err(|_| fail())?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

/// `t=<unix>,v1=<hex>`: HMAC-SHA-256 over `<t>.<body>`.
fn signature(secret: &Secret, body: &str, now_unix: i64) -> Result<String, Error> {
    let setup = |_| Error::Setup { why: "the signing key is not usable".to_owned() };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).map_err(setup)?;
    mac.update(format!("{now_unix}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("t={now_unix},v1={hex}"))
}
