//! What a person may ask for over HTTP: silences, acknowledgements, closing.
//!
//! Responsible for reading a request into an [`Order`] and for wording the
//! answer; it is carried out by the main loop, and answered once it is
//! committed, so what was answered survives a crash. A request must say that
//! it is JSON: no page of another origin can send that without asking first,
//! and the guard refuses those that ask.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Window;
use crate::config;
use crate::model::{Order, Refusal, Silence, Time, Until};

/// An order that takes longer is reported as unanswered; it may be carried
/// out all the same.
const ORDER_WITHIN: Duration = Duration::from_secs(30);

/// Somebody asks for something.
#[derive(Debug)]
pub struct OrderRequest {
    /// What.
    pub order: Order,
    /// Takes the number of the silence or incident, or why not, after the
    /// commit.
    pub answer: oneshot::Sender<Result<u64, Refusal>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SilenceBody {
    matchers: Vec<MatcherBody>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    duration: Option<String>,
    created_by: String,
    #[serde(default)]
    comment: String,
}

/// A matcher as text, or as the fields of Alertmanager's API.
#[derive(Deserialize)]
#[serde(untagged)]
enum MatcherBody {
    Text(String),
    #[serde(rename_all = "camelCase")]
    Fields {
        name: String,
        value: String,
        #[serde(default)]
        is_regex: bool,
        #[serde(default = "yes")]
        is_equal: bool,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcknowledgeBody {
    by: String,
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CloseBody {
    #[serde(default)]
    reason: String,
}

fn yes() -> bool {
    true
}

/// `GET /api/v1/silences`.
pub(super) async fn list(State(window): State<Window>) -> Response {
    let snapshot = window.snapshot.borrow().clone();
    let all: Vec<Value> = snapshot.silences.iter().map(|s| silence(s, snapshot.made_at)).collect();
    answer(StatusCode::OK, &json!(all))
}

/// `POST /api/v1/silences`.
pub(super) async fn add(State(window): State<Window>, headers: HeaderMap, body: Bytes) -> Response {
    let read = read::<SilenceBody>(&headers, &body).and_then(silence_order);
    carry_out(&window, read).await
}

/// `DELETE /api/v1/silences/{number}`.
pub(super) async fn expire(State(window): State<Window>, Path(number): Path<String>) -> Response {
    carry_out(&window, self::number(&number).map(Order::Expire)).await
}

/// `POST /api/v1/incidents/{number}/ack`.
pub(super) async fn acknowledge(
    State(window): State<Window>,
    Path(number): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let read = self::number(&number).and_then(|incident| {
        let AcknowledgeBody { by, comment } = read(&headers, &body)?;
        Ok(Order::Acknowledge { incident, by, comment })
    });
    carry_out(&window, read).await
}

/// `POST /api/v1/incidents/{number}/close`.
pub(super) async fn close(
    State(window): State<Window>,
    Path(number): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let read = self::number(&number).and_then(|incident| {
        let CloseBody { reason } = read(&headers, &body)?;
        Ok(Order::Close { incident, reason })
    });
    carry_out(&window, read).await
}

async fn carry_out(window: &Window, order: Result<Order, (StatusCode, String)>) -> Response {
    let order = match order {
        Ok(order) => order,
        Err((status, why)) => return failed(status, &why),
    };
    let Some(orders) = &window.orders else {
        return failed(StatusCode::NOT_IMPLEMENTED, "this window takes no orders");
    };
    let (sender, answered) = oneshot::channel();
    let asked = async {
        orders.send(OrderRequest { order, answer: sender }).await.ok()?;
        answered.await.ok()
    };
    match tokio::time::timeout(ORDER_WITHIN, asked).await {
        Ok(Some(Ok(number))) => answer(StatusCode::OK, &json!({ "number": number })),
        Ok(Some(Err(refusal))) => {
            let status = match refusal {
                Refusal::Unknown(_) => StatusCode::NOT_FOUND,
                Refusal::Wrong(_) => StatusCode::BAD_REQUEST,
                Refusal::Full(_) => StatusCode::CONFLICT,
            };
            failed(status, &refusal.to_string())
        }
        Ok(None) => failed(StatusCode::SERVICE_UNAVAILABLE, "the daemon is restarting or shutting down"),
        Err(_) => failed(StatusCode::GATEWAY_TIMEOUT, "the daemon did not answer in time"),
    }
}

fn silence_order(body: SilenceBody) -> Result<Order, (StatusCode, String)> {
    let wrong = |why: String| (StatusCode::BAD_REQUEST, why);
    let instant = |text: &String| {
        Time::parse_rfc3339(text).ok_or_else(|| wrong(format!("{text:?} is no RFC 3339 instant")))
    };
    let starts_at = body.starts_at.as_ref().map(instant).transpose()?;
    let until = match (&body.ends_at, &body.duration) {
        (Some(at), None) => Until::At(instant(at)?),
        (None, Some(span)) => Until::After(
            config::parse_duration(span).ok_or_else(|| wrong(format!("{span:?} is no length of time")))?,
        ),
        _ => return Err(wrong("expected either endsAt or duration".to_owned())),
    };
    let matchers: Vec<String> = body.matchers.into_iter().map(text_of).collect();
    let (created_by, comment) = (body.created_by, body.comment);
    Ok(Order::Silence { matchers: matchers.join(","), starts_at, until, created_by, comment })
}

fn text_of(matcher: MatcherBody) -> String {
    match matcher {
        MatcherBody::Text(text) => {
            let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            inner.map_or(text.clone(), |inner| inner.trim().trim_end_matches(',').to_owned())
        }
        MatcherBody::Fields { name, value, is_regex, is_equal } => {
            config::matcher::written(&name, &value, is_regex, is_equal)
        }
    }
}

fn number(text: &str) -> Result<u64, (StatusCode, String)> {
    text.parse().map_err(|_| (StatusCode::NOT_FOUND, "expected a number in the path".to_owned()))
}

fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, (StatusCode, String)> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json = kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        let why = "expected Content-Type: application/json".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn silence(silence: &Silence, now: Time) -> Value {
    json!({
        "number": silence.number,
        "state": silence.state(now),
        "matchers": silence.matchers,
        "startsAt": silence.starts_at.to_rfc3339(),
        "endsAt": silence.ends_at.to_rfc3339(),
        "createdBy": silence.created_by,
        "comment": silence.comment,
    })
}

fn failed(status: StatusCode, why: &str) -> Response {
    answer(status, &json!({ "error": why }))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
