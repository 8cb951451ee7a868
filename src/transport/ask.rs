//! Asks a running daemon through its own window: one request, one answer.
//!
//! What the command line uses. Not for receivers: nothing is masked or signed
//! here, and the whole answer is read, up to a limit.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};

use super::chain;
use super::http::client;
use crate::config::plan::HttpOptions;

/// Longer than the window takes to answer.
const WITHIN: Duration = Duration::from_secs(40);
/// The daemon's longest answer, its status, is far smaller.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Sends `body`, JSON, or nothing; gives status and answer.
///
/// # Errors
/// A line for a person: no daemon there, or no answer.
pub async fn ask(method: &str, url: &str, body: Option<String>) -> Result<(u16, String), String> {
    let parsed = Url::parse(url).map_err(|error| format!("{url} is no URL: {error}"))?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
    let client = client(&parsed, &HttpOptions::default()).map_err(|error| chain(&error))?;
    let mut request = client.request(method, parsed);
    if let Some(body) = body {
        request = request.header(CONTENT_TYPE, "application/json").body(body);
    }
    let exchange = async {
        let mut response = request.send().await?;
        let mut text: Vec<u8> = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            let room = ANSWER_BYTES_MAX.saturating_sub(text.len());
            text.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok::<_, reqwest::Error>((response.status().as_u16(), String::from_utf8_lossy(&text).into_owned()))
    };
    match tokio::time::timeout(WITHIN, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("no answer within {}s", WITHIN.as_secs())),
    }
}
