//! Who is told of what, and when nobody is, as meant.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::{Labelled, Matchers, Plan};
use crate::model::Time;

/// The key of the tree's root.
pub const ROOT: &str = "{}";

/// A node of the tree of routes. An alert goes down to the first child that
/// fits it, and to further ones while they `continue`; a node none of whose
/// children fits tells the alert itself.
#[derive(Clone, Debug)]
pub struct RoutePlan {
    /// What the tree's way to it is, in Alertmanager's writing; groups of
    /// different routes are different groups.
    pub key: String,
    /// What goes here.
    pub matchers: Matchers,
    /// Names of receivers.
    pub receivers: Vec<String>,
    /// Alerts that share these labels are told together.
    pub group_by: GroupBy,
    /// A new group waits so long for further members.
    pub group_wait: Duration,
    /// Joiners of a group are told together so often.
    pub group_interval: Duration,
    /// One reminder so often while an incident lasts; zero: none.
    pub repeat_interval: Duration,
    /// The alert is also offered to the routes after this one.
    pub continues: bool,
    /// Positions of time intervals; outside all of them nobody is told.
    pub active: Vec<usize>,
    /// Positions of time intervals in which nobody is told.
    pub mute: Vec<usize>,
    /// Positions of its children, in order.
    pub children: Vec<usize>,
}

/// What a group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// The alerts that share the values of these labels.
    Labels(Vec<String>),
    /// Each alert alone: `...`. `severity` does not count, or an escalation
    /// would be another alert.
    All,
}

/// A named time interval: instants that lie in any of its spans.
#[derive(Clone, Debug)]
pub struct IntervalPlan {
    /// Unique.
    pub name: String,
    /// Any of them.
    pub spans: Vec<SpanPlan>,
}

impl IntervalPlan {
    /// Whether an instant lies in it.
    pub fn contains(&self, at: Time) -> bool {
        self.spans.iter().any(|span| span.contains(at))
    }
}

/// Instants for which all of these hold; a list that is empty holds always.
#[derive(Clone, Debug)]
pub struct SpanPlan {
    /// Minutes of the day, the end left out.
    pub times: Vec<(u16, u16)>,
    /// Days from Sunday, 0 to 6, both ends taken in.
    pub weekdays: Vec<(u8, u8)>,
    /// Days, from 1; from the month's end, from -1.
    pub days_of_month: Vec<(i8, i8)>,
    /// Months, from 1.
    pub months: Vec<(u8, u8)>,
    /// Years.
    pub years: Vec<(i16, i16)>,
    /// Where the clock hangs; daylight saving is that of the place.
    pub location: TimeZone,
}

impl SpanPlan {
    fn contains(&self, at: Time) -> bool {
        let local = at.local(&self.location);
        let day = |written: i8| {
            let last = i16::from(local.days_in_month);
            let written = i16::from(written);
            if written < 0 { last + 1 + written } else { written }
        };
        let last = i16::from(local.days_in_month);
        let is_day = |(from, to): &(i8, i8)| {
            // The 31st of a shorter month is not its last day.
            let (from, to) = (day(*from).max(1), day(*to).min(last));
            (from..=to).contains(&i16::from(local.day))
        };
        any(&self.times, |(from, to)| (*from..*to).contains(&local.minute_of_day))
            && any(&self.weekdays, |(from, to)| (*from..=*to).contains(&local.weekday))
            && any(&self.days_of_month, is_day)
            && any(&self.months, |(from, to)| (*from..=*to).contains(&local.month))
            && any(&self.years, |(from, to)| (*from..=*to).contains(&local.year))
    }
}

/// Alerts that are expected at certain times, and so not told of then.
#[derive(Clone, Debug)]
pub struct MaintenancePlan {
    /// Unique; shown beside what it keeps back.
    pub name: String,
    /// Which alerts.
    pub matchers: Matchers,
    /// Positions of time intervals; in any of them.
    pub intervals: Vec<usize>,
}

impl MaintenancePlan {
    /// Whether it keeps an alert back at an instant.
    pub fn holds(&self, plan: &Plan, alert: Labelled<'_>, at: Time) -> bool {
        self.matchers.fit(alert) && self.intervals.iter().any(|i| plan.intervals[*i].contains(at))
    }
}

fn any<T>(list: &[T], holds: impl FnMut(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(holds)
}
