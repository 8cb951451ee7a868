//! The status as JSON. Instants are RFC 3339 in UTC; what is unknown is null.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Window;
use crate::model::{IncidentView, Snapshot, SourceView, Time};

/// `GET /api/v1/status`.
pub(super) async fn status(State(window): State<Window>) -> Response {
    let snapshot = window.snapshot.borrow().clone();
    let body = format!("{}\n", picture(&snapshot));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn picture(snapshot: &Snapshot) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "made_at": time(Some(snapshot.made_at)),
        "started_at": time(Some(snapshot.started_at)),
        "ready": snapshot.is_ready,
        "durable": snapshot.is_durable,
        "complaints": snapshot.complaints,
        "sources": snapshot.sources.iter().map(source).collect::<Vec<_>>(),
        "open": snapshot.open.iter().map(incident).collect::<Vec<_>>(),
        "past": snapshot.past.iter().map(incident).collect::<Vec<_>>(),
        "outbox": snapshot.outbox,
    })
}

fn source(source: &SourceView) -> Value {
    json!({
        "name": source.name,
        "state": source.state,
        "note": source.note,
        "lines": source.lines,
        "last_line_at": time(source.last_line_at),
        "lag_seconds": source.lag_seconds,
        "caught_up": source.caught_up,
    })
}

fn incident(view: &IncidentView) -> Value {
    let incident = &view.incident;
    json!({
        "number": incident.number,
        "alert": incident.alert,
        "severity": incident.severity,
        "labels": incident.labels,
        "started_at": time(Some(incident.started_at)),
        "ended_at": time(incident.ended_at),
        "end_reason": incident.end_reason,
        "value": incident.value,
        "inhibited_by": incident.inhibited_by,
        "annotations": incident.annotations,
        "told": view.told,
        "silenced_by": view.silenced_by,
    })
}

fn time(at: Option<Time>) -> Option<String> {
    at.map(Time::to_rfc3339)
}
