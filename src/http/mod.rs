//! The window: metrics, health, status page, and the orders of a person.
//!
//! It shows the last published snapshot and nothing else; it never asks the
//! engine or the store. Orders go to the main loop as they came. What it must not do: run a script, fetch from outside,
//! show a byte of a log unescaped.
//!
//! Two decisions. Connections are served by hyper itself and not by
//! `axum::serve`, which sets no timer: a client that never ends its headers
//! would hold its connection for ever. And on a loopback address a request
//! must name a loopback host: otherwise any web page could read the window
//! through a name that it makes point to 127.0.0.1 (DNS rebinding).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::model::Snapshot;

mod api;
mod guard;
mod health;
mod metrics;
mod orders;
mod page;

pub use metrics::exposition;
pub use orders::OrderRequest;

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 128;
/// The head of a request comes within this.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// No connection lasts longer.
const CONNECTION_FOR: Duration = Duration::from_secs(600);
/// Answers under way may take so long after the shutdown began.
const CLOSING_FOR: Duration = Duration::from_secs(2);
/// Wait after an accept that failed (no file descriptor left).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What the window shows and whom it asks.
#[derive(Clone)]
pub struct Window {
    /// The published picture.
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    /// Takes requests to reload; `None` where there is nothing to reload.
    pub reload: Option<mpsc::Sender<ReloadRequest>>,
    /// Takes orders; `None` where nobody carries them out.
    pub orders: Option<mpsc::Sender<OrderRequest>>,
    /// Host names, beside those of loopback, by which the window may be asked
    /// for when it listens on loopback: that of a reverse proxy.
    pub hosts: Vec<String>,
}

/// Somebody wants the configuration read again.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Takes the answer: what is in force now, or why nothing changed. A text
    /// for a person.
    pub answer: oneshot::Sender<Result<String, String>>,
}

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else listens there.
    #[error(
        "{0} is already taken; stop the program that listens there (`ss -ltnp` names it), or set another address under [http] listen"
    )]
    Taken(SocketAddr),
    /// Ports under 1024 and the like.
    #[error("{0} may not be listened on by this user; set a port above 1023 under [http] listen")]
    Forbidden(SocketAddr),
    /// The address is not one of this machine's, or something rarer.
    #[error("cannot listen on {address}; check [http] listen")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Opens the window's socket.
///
/// # Errors
///
/// The address is taken, forbidden, or not this machine's.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => Error::Taken(address),
        io::ErrorKind::PermissionDenied => Error::Forbidden(address),
        _ => Error::Listen { address, source },
    })
}

/// Serves until `shutdown` completes, then ends what is under way.
pub async fn serve(listener: TcpListener, window: Window, shutdown: impl Future<Output = ()>) {
    let is_loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let router = router(window, is_loopback);
    let (closing, is_closing) = watch::channel(());
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    let mut is_refusing = false;
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    is_refusing = false;
                    connections.spawn(connection(stream, router.clone(), is_closing.clone()));
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_refusing, true) {
                        log::warn!("the window takes no connection, and goes on trying: {error}");
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
    drop(listener);
    drop(closing);
    let ended = async { while connections.join_next().await.is_some() {} };
    // What does not end by then is cut off with the set.
    let _ = tokio::time::timeout(CLOSING_FOR, ended).await;
}

async fn connection(stream: TcpStream, router: Router, mut is_closing: watch::Receiver<()>) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    tokio::select! {
        // A client that breaks off or talks nonsense harms only itself.
        _ = served.as_mut() => return,
        _ = is_closing.changed() => {}
        () = tokio::time::sleep(CONNECTION_FOR) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(CLOSING_FOR, served).await;
}

/// The paths, as the answer to an unknown one lists them.
const PATHS: &str = "\
GET  /               status page
GET  /metrics        metrics for Prometheus
GET  /-/healthy      200 while the process serves
GET  /-/ready        200 when every source is read to its end, else 503
POST /-/reload       read the configuration again
GET  /api/v1/status  the status as JSON
GET  /api/v1/silences                 silences as JSON
POST /api/v1/silences                 a new one
DELETE /api/v1/silences/NUMBER        its end
POST /api/v1/incidents/NUMBER/ack     somebody sees to it
POST /api/v1/incidents/NUMBER/close   its end by hand
";

fn router(window: Window, is_loopback: bool) -> Router {
    let guard = guard::Guard { is_loopback, hosts: window.hosts.clone() };
    let scrapes = Arc::new(Semaphore::new(metrics::SCRAPES_MAX));
    Router::new()
        .route("/", get(page::status))
        .route("/metrics", get(move |window| metrics::metrics(window, scrapes.clone())))
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .route("/-/reload", post(health::reload))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/silences", get(orders::list).post(orders::add))
        .route("/api/v1/silences/{number}", delete(orders::expire))
        .route("/api/v1/incidents/{number}/ack", post(orders::acknowledge))
        .route("/api/v1/incidents/{number}/close", post(orders::close))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .fallback(async || {
            text(StatusCode::NOT_FOUND, format!("There is nothing here. The paths are:\n\n{PATHS}"))
        })
        .layer(from_fn_with_state(Arc::new(guard), check))
        .with_state(window)
}

/// Refuses what must not be answered; puts the common headers on every answer.
async fn check(State(guard): State<Arc<guard::Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.refuses(request.headers(), request.method()) {
        Some(why) => text(StatusCode::FORBIDDEN, why.to_owned()),
        None => next.run(request).await,
    };
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A plain answer for a person.
fn text(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}
