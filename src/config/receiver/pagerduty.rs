//! The options of a PagerDuty receiver.

use crate::config::ground::Ground;
use crate::config::plan::PagerDutyPlan;
use crate::config::reader::Table;
use crate::config::secrets::{ROUTING_KEY, need, url_or};

/// Of the United States' region; Europe's is `https://events.eu.pagerduty.com/v2/enqueue`.
const URL: &str = "https://events.pagerduty.com/v2/enqueue";

pub(super) fn read(ground: &Ground<'_>, table: &Table<'_>) -> Option<PagerDutyPlan> {
    let url = url_or(ground, table, URL);
    let expected = "the integration key of an \"Events API v2\" integration";
    let routing_key = need(ground, table, ROUTING_KEY, expected);
    let http = super::http_options(ground, table);
    Some(PagerDutyPlan { url, routing_key: routing_key?, http })
}
