//! The daemon's own settings: grouping, places, heartbeat.

use std::path::PathBuf;
use std::time::Duration;

use super::HttpOptions;
use crate::model::Secret;

/// Grouping and reminders; the defaults of the contract.
#[derive(Clone, Debug)]
pub struct NotifyPlan {
    /// A new group waits so long for further members.
    pub group_wait: Duration,
    /// Joiners of a group are told together so often.
    pub group_interval: Duration,
    /// A rule that can be inhibited waits so long for its inhibitor.
    pub inhibit_wait: Duration,
    /// A symptom that outlives its inhibitor is told after so long.
    pub outlive_wait: Duration,
    /// One reminder so often while an incident lasts; zero: none.
    pub repeat_interval: Duration,
    /// Given up after so long.
    pub give_up_after: Duration,
    /// Address of the status page as receivers can reach it.
    pub external_url: String,
}

impl Default for NotifyPlan {
    fn default() -> NotifyPlan {
        NotifyPlan {
            group_wait: Duration::ZERO,
            group_interval: Duration::from_secs(300),
            inhibit_wait: Duration::from_secs(2),
            outlive_wait: Duration::from_secs(120),
            repeat_interval: Duration::from_secs(86_400),
            give_up_after: Duration::from_secs(3 * 86_400),
            external_url: "http://127.0.0.1:9650/".to_owned(),
        }
    }
}

/// The daemon's own places.
#[derive(Clone, Debug, Default)]
pub struct DaemonPlan {
    /// Folder of the state file.
    pub state_dir: PathBuf,
    /// Address of the HTTP window; `None`: no window.
    pub listen: Option<std::net::SocketAddr>,
    /// Ended incidents are kept so long.
    pub history_for: Duration,
    /// A request sent while all is well with the monitor itself.
    pub heartbeat: Option<HeartbeatPlan>,
}

/// The outbound heartbeat.
#[derive(Clone, Debug)]
pub struct HeartbeatPlan {
    /// The dead-man service's URL.
    pub url: Secret,
    /// How often.
    pub interval: Duration,
    /// `Some`: a POST with this body; `None`: a GET.
    pub body: Option<String>,
    /// None is sent while a notice has been waiting for longer.
    pub stuck_after: Duration,
    /// Limit of one attempt.
    pub timeout: Duration,
    /// Proxy and private CA.
    pub http: HttpOptions,
}
