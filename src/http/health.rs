//! Healthy, ready, reload: short answers to short questions.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use tokio::sync::oneshot;

use super::{ReloadRequest, Window, text};
use crate::model::Snapshot;

/// A reload that takes longer is reported as failed.
const RELOAD_WITHIN: Duration = Duration::from_secs(30);

/// The process serves.
pub(super) async fn healthy() -> Response {
    text(StatusCode::OK, "tocsin is healthy.\n".to_owned())
}

/// Every source is live and the state is open.
pub(super) async fn ready(State(window): State<Window>) -> Response {
    let snapshot = window.snapshot.borrow().clone();
    if snapshot.is_ready {
        return text(StatusCode::OK, "tocsin is ready.\n".to_owned());
    }
    text(StatusCode::SERVICE_UNAVAILABLE, format!("tocsin is not ready:\n{}", reasons(&snapshot)))
}

/// Asks for the configuration to be read again.
pub(super) async fn reload(State(window): State<Window>) -> Response {
    let Some(reload) = &window.reload else {
        let why = "This window cannot reload; restart the process instead.\n";
        return text(StatusCode::NOT_IMPLEMENTED, why.to_owned());
    };
    let (answer, answered) = oneshot::channel();
    let asked = async {
        reload.send(ReloadRequest { answer }).await.ok()?;
        answered.await.ok()
    };
    match tokio::time::timeout(RELOAD_WITHIN, asked).await {
        Ok(Some(Ok(said))) => text(StatusCode::ACCEPTED, line(said)),
        Ok(Some(Err(why))) => text(StatusCode::INTERNAL_SERVER_ERROR, line(why)),
        Ok(None) => text(StatusCode::INTERNAL_SERVER_ERROR, "The daemon is shutting down.\n".to_owned()),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "The daemon did not answer in time.\n".to_owned()),
    }
}

fn line(mut said: String) -> String {
    if !said.ends_with('\n') {
        said.push('\n');
    }
    said
}

fn reasons(snapshot: &Snapshot) -> String {
    let sources = snapshot.sources.iter().filter(|source| source.state != "live");
    let mut lines: Vec<String> = sources
        .map(|source| match &source.note {
            Some(note) => format!("source {} is {}: {note}", source.name, source.state),
            None => format!("source {} is {}", source.name, source.state),
        })
        .collect();
    lines.extend(snapshot.complaints.iter().cloned());
    if lines.is_empty() {
        lines.push("it has just started".to_owned());
    }
    lines.join("\n") + "\n"
}
