//! `[route]`: the tree that says who is told of what, in Alertmanager's fields.
//!
//! Without it, or without a receiver at its root, everybody is told of
//! everything. Children inherit receivers, grouping and timing, never time
//! intervals, as Alertmanager's do.

use super::ground::Ground;
use super::matcher;
use super::plan::{GroupBy, IntervalPlan, Matchers, NotifyPlan, Plan, ROOT, ReceiverPlan, RoutePlan};
use super::problem::{At, Spot, printable};
use super::reader::{Table, find};

/// Routes below routes.
const DEPTH_MAX: usize = 16;
const OF_CHILDREN: &[&str] = &["matchers", "continue", "mute_time_intervals", "active_time_intervals"];

struct Names<'n> {
    receivers: Vec<&'n str>,
    intervals: Vec<&'n str>,
}

/// Reads the tree; its root is the first.
pub(super) fn read(
    ground: &Ground<'_>,
    receivers: &[ReceiverPlan],
    intervals: &[IntervalPlan],
    notify: &NotifyPlan,
) -> Vec<RoutePlan> {
    let names = Names {
        receivers: receivers.iter().map(|r| r.name.as_str()).collect(),
        intervals: intervals.iter().map(|i| i.name.as_str()).collect(),
    };
    let default = RoutePlan {
        key: ROOT.to_owned(),
        matchers: Matchers::default(),
        receivers: names.receivers.iter().map(|name| (*name).to_owned()).collect(),
        group_by: GroupBy::Labels(vec!["alertname".to_owned()]),
        group_wait: notify.group_wait,
        group_interval: notify.group_interval,
        repeat_interval: notify.repeat_interval,
        continues: false,
        active: Vec::new(),
        mute: Vec::new(),
        children: Vec::new(),
    };
    let Some(table) = ground.only("route").and_then(|top| top.child("route")) else {
        return vec![default];
    };
    for key in OF_CHILDREN.iter().filter(|key| table.has(key)) {
        let message = format!("the root of the tree has no \"{key}\": every alert begins there");
        table.report.error(&table.key_at(key), message, "expected it under [[route.routes]]");
    }
    let mut out = Vec::new();
    node(&table, &names, default, 0, &mut out);
    out
}

/// Reads a node whose options give way to those of `inherited`; its position.
fn node(
    table: &Table<'_>,
    names: &Names<'_>,
    inherited: RoutePlan,
    depth: usize,
    out: &mut Vec<RoutePlan>,
) -> usize {
    let position = out.len();
    let mut route = RoutePlan { children: Vec::new(), active: Vec::new(), mute: Vec::new(), ..inherited };
    if depth > 0 {
        route.matchers = matcher::read(table, "matchers");
        route.key = format!("{}/{}", route.key, route.matchers);
        route.active = interval_positions(table, "active_time_intervals", &names.intervals);
        route.mute = interval_positions(table, "mute_time_intervals", &names.intervals);
        route.continues = table.boolean("continue").unwrap_or(false);
    } else {
        // Asked for, or they would be reported twice.
        for key in OF_CHILDREN {
            table.get(key);
        }
    }
    if table.get("receiver").is_some() {
        route.receivers = receivers(table, names);
    }
    group_by(table, &mut route);
    if let Some(span) = table.duration("group_wait") {
        route.group_wait = span.value;
    }
    if let Some(span) = table.positive_duration("group_interval") {
        route.group_interval = span.value;
    }
    if let Some(span) = table.duration("repeat_interval") {
        route.repeat_interval = span.value;
    }
    let tables = table.children("routes");
    table.finish();
    out.push(route.clone());
    if depth == DEPTH_MAX && !tables.is_empty() {
        let expected = format!("expected at most {DEPTH_MAX} levels");
        table.report.error(&table.key_at("routes"), "too many routes below routes", expected);
        return position;
    }
    let mut before: Vec<(usize, At)> = Vec::new();
    for child in &tables {
        let inherited = RoutePlan { matchers: Matchers::default(), ..route.clone() };
        let at = node(child, names, inherited, depth + 1, out);
        check_reached(child, at, &before, out);
        before.push((at, child.at.clone()));
        out[position].children.push(at);
    }
    position
}

/// Reports a route that an earlier one keeps everything from.
fn check_reached(table: &Table<'_>, at: usize, before: &[(usize, At)], out: &[RoutePlan]) {
    let takes_all =
        |earlier: &RoutePlan| !earlier.continues && earlier.matchers.are_wider_than(&out[at].matchers);
    if let Some((_, by)) = before.iter().find(|(earlier, _)| takes_all(&out[*earlier])) {
        let place = table.report.place(by);
        let message = format!("this route is never reached: the one at {place} takes all its alerts");
        table.report.error(&table.at, message, "expected it before that one, or \"continue = true\" there");
    }
}

/// One name or several; an empty list tells nobody.
fn receivers(table: &Table<'_>, names: &Names<'_>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for name in table.texts("receiver") {
        if find(table.report, "receiver", &name, &names.receivers).is_some()
            && !out.iter().any(|known| known == name.value)
        {
            out.push(name.value.to_owned());
        }
    }
    out
}

fn group_by(table: &Table<'_>, route: &mut RoutePlan) {
    if table.get("group_by").is_none() {
        return;
    }
    let mut labels: Vec<String> = Vec::new();
    let written = table.texts("group_by");
    for label in &written {
        if labels.iter().any(|known| known == label.value) {
            let message = format!("the label \"{}\" stands here twice", printable(label.value));
            table.report.error(&label.at, message, "expected each label once");
        }
        labels.push(label.value.to_owned());
    }
    let all: Option<&Spot<&str>> = written.iter().find(|label| label.value == "...");
    route.group_by = match all {
        Some(all) if written.len() > 1 => {
            table.report.error(&all.at, "\"...\" beside other labels", "expected group_by = [\"...\"]");
            GroupBy::All
        }
        Some(_) => GroupBy::All,
        None => GroupBy::Labels(labels),
    };
}

/// Positions of the time intervals that are named under a key.
pub(super) fn interval_positions(table: &Table<'_>, key: &'static str, names: &[&str]) -> Vec<usize> {
    let named = table.texts(key);
    named.iter().filter_map(|name| find(table.report, "time interval", name, names)).collect()
}

/// Warns of receivers and time intervals that nothing leads to.
pub(super) fn warn_unreached(ground: &Ground<'_>, plan: &Plan) {
    let is_leaf = |route: &RoutePlan| {
        // A child that takes everything leaves nothing to its parent.
        let mut children = route.children.iter().map(|child| &plan.routes[*child]);
        !children.any(|child| child.matchers.0.is_empty())
    };
    let told: Vec<&String> = plan.routes.iter().filter(|r| is_leaf(r)).flat_map(|r| &r.receivers).collect();
    for (table, receiver) in ground.tables("receiver").iter().zip(&plan.receivers) {
        if !told.contains(&&receiver.name) {
            let message = format!("no route leads to the receiver \"{}\"", receiver.name);
            ground.report.warning(&table.at, message, "it is told nothing");
        }
    }
    let of_routes = plan.routes.iter().flat_map(|r| r.active.iter().chain(&r.mute));
    let used: Vec<usize> =
        of_routes.chain(plan.maintenance.iter().flat_map(|m| &m.intervals)).copied().collect();
    for (index, table) in ground.tables("time_interval").iter().enumerate() {
        if !used.contains(&index) {
            let message = format!("nothing uses the time interval \"{}\"", plan.intervals[index].name);
            ground.report.warning(&table.at, message, "");
        }
    }
}
