//! The four questions put to a Docker engine: which containers match, what one
//! of them is like, what happened, and its log.
//!
//! Lists, inspections and events go through `bollard`. Logs do not, for three
//! reasons: its typed query has `since` in whole seconds, where resuming takes
//! nanoseconds; it tells a TTY's raw stream from frames by guessing at the
//! first byte; and it holds a whole line or frame however long. So the log is a
//! plain GET whose body [`super::frames`] decodes. Nothing here writes.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, EventMessage};
use bollard::query_parameters::{EventsOptions, InspectContainerOptions, ListContainersOptions};
use futures_util::stream::{BoxStream, StreamExt};

use crate::config::plan::DockerPlan;
use crate::model::Time;

use super::frames::{Decoder, Frame};

/// For each exchange but the bodies of streams.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);
const SOCKET: &str = "unix:///var/run/docker.sock";

/// What keeps a question from its answer.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The engine does not answer; why, and what to do.
    #[error("{0}")]
    Unreachable(String),
    /// There is no such container (any more).
    #[error("the container is gone")]
    Gone,
    /// The container's log driver keeps nothing that could be read.
    #[error("the container's log driver cannot be read: use json-file, local or journald")]
    Unreadable,
    /// The engine could not read its own log on, or broke the protocol.
    #[error(
        "dockerd cannot read the container's log: it is damaged or its file is gone; recreate the container"
    )]
    Damaged,
    /// Any other refusal.
    #[error("dockerd answered with status {0}")]
    Refused(u16),
}

/// A container that the selector matches.
#[derive(Clone, Debug)]
pub struct Found {
    /// Full id.
    pub id: String,
    /// It runs (or is paused).
    pub is_running: bool,
    /// It was never started.
    pub is_fresh: bool,
    /// Seconds since the epoch.
    pub created: i64,
}

/// What following a log has to know.
#[derive(Clone, Debug)]
pub struct Traits {
    /// It has a TTY: no frames.
    pub is_tty: bool,
    /// Its log driver.
    pub driver: String,
    /// It runs now.
    pub is_running: bool,
}

/// What is asked of a log.
#[derive(Clone, Copy, Debug)]
pub struct LogQuery {
    /// From this stamp on, inclusive.
    pub since: Time,
    /// Wait for more.
    pub follow: bool,
    /// Only so many of the last pieces.
    pub tail: Option<u32>,
}

/// A connection to one engine. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    docker: bollard::Docker,
    http: reqwest::Client,
    base: String,
    host: String,
    answer_max: Duration,
}

impl Client {
    /// Connects to the configured engine, `DOCKER_HOST`, or the usual socket.
    /// Each exchange may take `answer_max`; [`ANSWER_MAX`].
    pub async fn connect(plan: &DockerPlan, answer_max: Duration) -> Result<Client, Trouble> {
        let host = plan
            .host
            .clone()
            .or_else(|| std::env::var("DOCKER_HOST").ok())
            .unwrap_or_else(|| SOCKET.to_owned());
        let docker = bollard::Docker::connect_with_host(&host).map_err(|e| unreachable(&host, &e))?;
        let docker = tokio::time::timeout(answer_max, docker.negotiate_version())
            .await
            .map_err(|_| silent(&host))?
            .map_err(|e| unreachable(&host, &e))?;
        let http = http_client(&host)
            .map_err(|e| Trouble::Unreachable(format!("no HTTP client for {host}: {e}")))?;
        let base = match host.split_once("://") {
            Some(("tcp" | "http", address)) => format!("http://{}", address.trim_end_matches('/')),
            _ => "http://docker".to_owned(),
        };
        Ok(Client { docker, http, base, host, answer_max })
    }

    /// All containers that the selector matches, stopped ones too.
    pub async fn list(&self, plan: &DockerPlan) -> Result<Vec<Found>, Trouble> {
        let options =
            ListContainersOptions { all: true, filters: Some(label_filters(plan)), ..Default::default() };
        let listed = tokio::time::timeout(self.answer_max, self.docker.list_containers(Some(options)))
            .await
            .map_err(|_| silent(&self.host))?
            .map_err(|e| self.trouble(&e))?;
        Ok(listed.into_iter().filter(|c| has_name(c, plan)).filter_map(found).collect())
    }

    /// What a container is like.
    pub async fn inspect(&self, id: &str) -> Result<Traits, Trouble> {
        let answer = self.docker.inspect_container(id, None::<InspectContainerOptions>);
        let container = tokio::time::timeout(self.answer_max, answer)
            .await
            .map_err(|_| silent(&self.host))?
            .map_err(|e| self.trouble(&e))?;
        Ok(Traits {
            is_tty: container.config.and_then(|c| c.tty).unwrap_or(false),
            driver: container.host_config.and_then(|h| h.log_config).and_then(|l| l.typ).unwrap_or_default(),
            is_running: container.state.and_then(|s| s.running).unwrap_or(false),
        })
    }

    /// Starts and other turns in the life of matching containers: `(action, id)`.
    pub fn events(&self, plan: &DockerPlan) -> BoxStream<'static, Result<(String, String), Trouble>> {
        let mut filters = label_filters(plan);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        let actions = ["create", "start", "die", "destroy", "rename"].map(str::to_owned);
        filters.insert("event".to_owned(), actions.to_vec());
        let options = EventsOptions { filters: Some(filters), ..Default::default() };
        let host = self.host.clone();
        self.docker
            .events(Some(options))
            .map(move |event| event.map(turn).map_err(|e| unreachable(&host, &e)))
            .boxed()
    }

    /// A container's log, as the bytes of the response.
    pub async fn log(&self, id: &str, query: LogQuery) -> Result<reqwest::Response, Trouble> {
        let tail = query.tail.map_or("all".to_owned(), |n| n.to_string());
        let since = query.since.0.max(0);
        let url = format!(
            "{}/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&follow={}&since={}.{:09}&tail={tail}",
            self.base,
            u8::from(query.follow),
            since / 1_000_000_000,
            since % 1_000_000_000,
        );
        let answer = tokio::time::timeout(self.answer_max, self.http.get(url).send())
            .await
            .map_err(|_| silent(&self.host))?
            .map_err(|e| unreachable(&self.host, &e))?;
        match answer.status().as_u16() {
            200 => Ok(answer),
            // 409: dead, or marked for removal.
            404 | 409 => Err(Trouble::Gone),
            501 => Err(Trouble::Unreadable),
            500 => match tokio::time::timeout(self.answer_max, answer.text()).await {
                Ok(Ok(text)) if text.contains("does not support reading") => Err(Trouble::Unreadable),
                _ => Err(Trouble::Refused(500)),
            },
            status => Err(Trouble::Refused(status)),
        }
    }

    /// The stamp of the last piece of a log; `None` of an empty one. Cheap: dockerd
    /// reads from the end. Of a log whose end is damaged it knows nothing.
    pub async fn newest(&self, id: &str, is_tty: bool) -> Result<Option<Time>, Trouble> {
        match self.first(id, is_tty, Some(1)).await? {
            Some(at) => Ok(Some(at)),
            None if self.first(id, is_tty, None).await?.is_some() => Err(Trouble::Damaged),
            None => Ok(None),
        }
    }

    /// The stamp of the first piece of a tail.
    async fn first(&self, id: &str, is_tty: bool, tail: Option<u32>) -> Result<Option<Time>, Trouble> {
        let query = LogQuery { since: Time(0), follow: false, tail };
        let mut answer = self.log(id, query).await?;
        let mut decoder = Decoder::new(is_tty, 0);
        let mut frames = Vec::new();
        while frames.is_empty() {
            match self.chunk(&mut answer).await? {
                Some(bytes) => decoder.feed(&bytes, &mut frames),
                None => {
                    decoder.finish(&mut frames);
                    break;
                }
            }
        }
        match frames.first() {
            Some(Frame::Piece(piece)) => Ok(Some(piece.at)),
            Some(Frame::Damaged) => Err(Trouble::Damaged),
            None => Ok(None),
        }
    }

    /// The next bytes of a log that ends; `None` at its end.
    pub async fn chunk(&self, answer: &mut reqwest::Response) -> Result<Option<Vec<u8>>, Trouble> {
        match tokio::time::timeout(self.answer_max, answer.chunk()).await {
            Ok(Ok(bytes)) => Ok(bytes.map(Into::into)),
            Ok(Err(error)) => Err(unreachable(&self.host, &error)),
            Err(_) => Err(silent(&self.host)),
        }
    }

    fn trouble(&self, error: &bollard::errors::Error) -> Trouble {
        match error {
            bollard::errors::Error::DockerResponseServerError { status_code: 404, .. } => Trouble::Gone,
            bollard::errors::Error::DockerResponseServerError { status_code, .. } => {
                Trouble::Refused(*status_code)
            }
            other => unreachable(&self.host, other),
        }
    }
}

/// No TLS is spoken, yet the client wants a configuration of it: one that
/// trusts nobody, so that no process-wide provider has to be set up.
fn http_client(host: &str) -> anyhow::Result<reqwest::Client> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only();
    if let Some(path) = host.strip_prefix("unix://") {
        builder = builder.unix_socket(path);
    }
    Ok(builder.build()?)
}

fn label_filters(plan: &DockerPlan) -> HashMap<String, Vec<String>> {
    let mut labels = plan.labels.clone();
    labels.extend(plan.service.iter().map(|s| format!("com.docker.compose.service={s}")));
    labels.extend(plan.project.iter().map(|p| format!("com.docker.compose.project={p}")));
    if labels.is_empty() { HashMap::new() } else { HashMap::from([("label".to_owned(), labels)]) }
}

/// The API's own filter by name is a regular expression over part of the name.
fn has_name(container: &ContainerSummary, plan: &DockerPlan) -> bool {
    plan.name.as_ref().is_none_or(|name| {
        container.names.iter().flatten().any(|n| n.trim_start_matches('/') == name.trim_start_matches('/'))
    })
}

fn found(container: ContainerSummary) -> Option<Found> {
    use ContainerSummaryStateEnum as S;
    Some(Found {
        id: container.id?,
        is_running: matches!(container.state, Some(S::RUNNING | S::PAUSED)),
        is_fresh: matches!(container.state, Some(S::CREATED)),
        created: container.created.unwrap_or(0),
    })
}

fn turn(event: EventMessage) -> (String, String) {
    (event.action.unwrap_or_default(), event.actor.and_then(|a| a.id).unwrap_or_default())
}

fn silent(host: &str) -> Trouble {
    Trouble::Unreachable(format!("the Docker engine at {host} does not answer: is dockerd healthy?"))
}

fn unreachable(host: &str, error: &(dyn std::error::Error + 'static)) -> Trouble {
    let mut kind = None;
    let mut cause = Some(error);
    while let Some(e) = cause {
        kind = kind.or_else(|| e.downcast_ref::<std::io::Error>().map(std::io::Error::kind));
        cause = e.source();
    }
    match error.downcast_ref::<bollard::errors::Error>() {
        Some(bollard::errors::Error::SocketNotFoundError(_)) => {
            return Trouble::Unreachable(no_socket(host));
        }
        Some(bollard::errors::Error::UnsupportedURISchemeError { .. }) => {
            let why = format!("{host} is no Docker engine: write unix:///path or tcp://host:port");
            return Trouble::Unreachable(why);
        }
        _ => {}
    }
    Trouble::Unreachable(match kind {
        Some(std::io::ErrorKind::PermissionDenied) => {
            format!("no permission for the Docker engine at {host}: put the user of tocsin in group docker")
        }
        Some(std::io::ErrorKind::NotFound) => no_socket(host),
        Some(std::io::ErrorKind::ConnectionRefused) => {
            format!("nobody answers as the Docker engine at {host}: is dockerd running?")
        }
        _ => format!("the connection to the Docker engine at {host} failed or ended: is dockerd running?"),
    })
}

fn no_socket(host: &str) -> String {
    format!(
        "no Docker engine at {host}: is dockerd running? `host` of the source or DOCKER_HOST names another"
    )
}
