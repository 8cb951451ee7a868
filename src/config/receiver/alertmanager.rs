//! The options of an Alertmanager receiver, and its instances.
//!
//! Each instance of a cluster is told on its own, so each becomes a receiver
//! of its own, `name/host:port`: one that is down holds up no other, and
//! metrics tell them apart. Routes name them together, by the receiver's name.

use std::time::Duration;

use crate::config::ground::Ground;
use crate::config::plan::{AlertmanagerPlan, Plan, ReceiverKind, ReceiverPlan};
use crate::config::reader::Table;
use crate::config::secrets::{URL, is_http_url, secret, url};
use crate::model::Secret;

/// Prometheus' own: its rules are evaluated, and alerts resent, so often.
const RESEND_EVERY: Duration = Duration::from_secs(60);
const INSTANCES_MAX: usize = 32;

pub(super) fn read(ground: &Ground<'_>, table: &Table<'_>) -> Option<AlertmanagerPlan> {
    let urls = urls(ground, table);
    let headers = super::headers(ground, table);
    let resend_every = table.positive_duration("resend_interval").map_or(RESEND_EVERY, |d| d.value);
    let http = super::http_options(ground, table);
    (!urls.is_empty()).then_some(AlertmanagerPlan { urls, headers, resend_every, http })
}

fn urls(ground: &Ground<'_>, table: &Table<'_>) -> Vec<Secret> {
    if table.get("urls").is_none() {
        return url(ground, table).into_iter().collect();
    }
    if secret(ground, table, URL).is_some() {
        table.report.error(
            &table.key_at("urls"),
            "both \"urls\" and \"url\"",
            "expected all instances in \"urls\", or one in \"url\"",
        );
    }
    let written = table.texts("urls");
    if written.is_empty() || written.len() > INSTANCES_MAX {
        let expected = format!("expected the URLs of 1 to {INSTANCES_MAX} instances");
        table.report.error(&table.key_at("urls"), format!("{} instances", written.len()), expected);
    }
    let mut out: Vec<Secret> = Vec::new();
    for text in written {
        let url = Secret::new(text.value);
        if !is_http_url(&url) {
            let message = format!("instance {} gives no URL", out.len() + 1);
            table.report.error(&text.at, message, "expected http://… or https://…");
        } else if out.iter().any(|known| place(known) == place(&url)) {
            let message = format!("the instance {} stands here twice", place(&url));
            table.report.error(&text.at, message, "expected each instance once");
        }
        out.push(url);
    }
    out
}

/// Makes a receiver of each instance, and lets routes lead to all of them.
pub(in crate::config) fn tell_each_instance(plan: &mut Plan) {
    let mut all = Vec::new();
    for receiver in std::mem::take(&mut plan.receivers) {
        let ReceiverKind::Alertmanager(of) = &receiver.kind else {
            all.push(receiver);
            continue;
        };
        if of.urls.len() == 1 {
            all.push(receiver);
            continue;
        }
        let instances = of.urls.iter().map(|url| ReceiverPlan {
            name: format!("{}/{}", receiver.name, place(url)),
            kind: ReceiverKind::Alertmanager(Box::new(AlertmanagerPlan {
                urls: vec![url.clone()],
                ..(**of).clone()
            })),
            ..receiver.clone()
        });
        let instances: Vec<ReceiverPlan> = instances.collect();
        for route in &mut plan.routes {
            if let Some(at) = route.receivers.iter().position(|name| *name == receiver.name) {
                route.receivers.splice(at..=at, instances.iter().map(|i| i.name.clone()));
            }
        }
        all.extend(instances);
    }
    plan.receivers = all;
}

/// Host and port; no credentials and no path.
fn place(url: &Secret) -> String {
    let rest = url.expose().split_once("://").map_or(url.expose(), |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, place)| place).to_owned()
}
