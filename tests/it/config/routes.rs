//! Mistakes in routes, matchers and time intervals, each with its place.

use tocsin::config::problem::Severity;

use super::mistakes::{Case, assert_each_is_the_only_error};
use super::{BASE, plan_of, problems_of};

const RECEIVERS: &str = r#"
[[receiver]]
name = "chat"
type = "console"
[[receiver]]
name = "pager"
type = "console"
"#;

fn with_receivers(text: &str) -> &'static str {
    Box::leak(format!("{text}{RECEIVERS}").into_boxed_str())
}

#[test]
fn mistakes_in_routes_are_shown() {
    let r = with_receivers;
    assert_each_is_the_only_error(&[
        Case(
            r("[route]\nreceiver = \"paegr\""),
            "2:12",
            "unknown receiver \"paegr\"",
            "did you mean \"pager\"?",
        ),
        Case(r("[route]\nmatchers = [\"a=b\"]"), "2:1", "the root of the tree has no \"matchers\"", ""),
        Case(r("[route]\ncontinue = true"), "2:1", "the root of the tree has no \"continue\"", ""),
        Case(r("[route]\ngroup_by = [\"a\", \"a\"]"), "2:18", "the label \"a\" stands here twice", ""),
        Case(r("[route]\ngroup_by = [\"a\", \"...\"]"), "2:18", "\"...\" beside other labels", ""),
        Case(r("[route]\ngroup_interval = \"0\""), "2:18", "\"group_interval\" is zero", ""),
        Case(
            r("[[route.routes]]\nreciever = \"chat\""),
            "2:1",
            "unknown key \"reciever\"",
            "did you mean \"receiver\"?",
        ),
        Case(
            r("[[route.routes]]\nmatchers = [\"severity\"]"),
            "2:14",
            "no =, !=, =~ or !~ after the label's name",
            "expected name=\"value\"",
        ),
        Case(
            r("[[route.routes]]\nmatchers = 'method=~\"a(\"'"),
            "2:21",
            "\"a(\" is no regular expression",
            "",
        ),
        Case(
            r(
                "[[route.routes]]\nmute_time_intervals = [\"nihgt\"]\n[[time_interval]]\nname = \"night\"\nyears = [\"2026\"]",
            ),
            "2:24",
            "unknown time interval \"nihgt\"",
            "did you mean \"night\"?",
        ),
        Case(
            r("[[route.routes]]\nreceiver = \"chat\"\n[[route.routes]]\nmatchers = \"a=b\""),
            "3:1",
            "this route is never reached: the one at etc/tocsin.toml:1 takes all its alerts",
            "continue = true",
        ),
        Case(
            r(
                "[[route.routes]]\nmatchers = \"a=b\"\n[[route.routes]]\nmatchers = [\"c=d\", \"a=\\\"b\\\"\"]",
            ),
            "3:1",
            "this route is never reached",
            "",
        ),
    ]);
}

#[test]
fn mistakes_in_time_intervals_are_shown() {
    let interval = |fields: &str| -> &'static str {
        with_receivers(&format!(
            "[[time_interval]]\nname = \"x\"\n{fields}\n[[route.routes]]\nmute_time_intervals = \"x\""
        ))
    };
    assert_each_is_the_only_error(&[
        Case(interval(""), "1:1", "missing key \"times\"", ""),
        Case(interval("weekdays = [\"mon\"]"), "3:13", "\"mon\" cannot be understood", "monday:friday"),
        Case(interval("weekdays = [\"friday:monday\"]"), "3:13", "ends before it begins", ""),
        Case(interval("months = [\"13\"]"), "3:11", "\"13\" cannot be understood", "june:august"),
        Case(interval("days_of_month = [\"0\"]"), "3:18", "\"0\" cannot be understood", "-3:-1"),
        Case(interval("days_of_month = [\"-1:5\"]"), "3:18", "ends before it begins", ""),
        Case(interval("years = [\"26\"]"), "3:10", "\"26\" cannot be understood", "2026:2027"),
        Case(interval("location = \"Europe/Brelin\""), "3:12", "unknown time zone", "Europe/Berlin"),
        Case(
            interval("times = [{ start_time = \"9:00\", end_time = \"17:00\" }]"),
            "3:25",
            "\"9:00\" is no time of day",
            "\"24:00\"",
        ),
        Case(
            interval("times = [{ start_time = \"22:00\", end_time = \"06:00\" }]"),
            "3:45",
            "the end does not come after the start",
            "22:00 to 24:00 and 00:00 to 06:00",
        ),
        Case(
            interval("years = \"2026\"\ntime_intervals = [{ years = \"2027\" }]"),
            "4:1",
            "time_intervals beside times of its own",
            "not both",
        ),
    ]);
}

#[test]
fn receivers_and_time_intervals_that_nothing_leads_to_are_warned_of() {
    let text = format!(
        "[route]\nreceiver = \"chat\"\n[[time_interval]]\nname = \"night\"\nyears = \"2026\"\n{RECEIVERS}{BASE}"
    );
    let shown: Vec<String> =
        problems_of(&text).iter().map(|p| format!("{}: {}", p.line, p.message)).collect();
    assert_eq!(
        shown,
        ["3: nothing uses the time interval \"night\"", "10: no route leads to the receiver \"pager\""]
    );
    assert!(problems_of(&text).iter().all(|p| p.severity == Severity::Warning));
    // A child that takes everything leaves nothing to the root.
    let text =
        format!("[route]\nreceiver = \"chat\"\n[[route.routes]]\nreceiver = \"pager\"\n{RECEIVERS}{BASE}");
    let shown: Vec<String> = problems_of(&text).into_iter().map(|p| p.message).collect();
    assert_eq!(shown, ["no route leads to the receiver \"chat\""]);
}

#[test]
fn without_routes_everybody_is_told_of_everything_by_name() {
    let plan = plan_of(&format!("{RECEIVERS}{BASE}"));
    let [root] = plan.routes.as_slice() else { panic!("{:?}", plan.routes) };
    assert_eq!(root.receivers, ["chat", "pager"]);
    assert_eq!(format!("{:?}", root.group_by), "Labels([\"alertname\"])");
    assert_eq!(
        [root.group_wait, root.group_interval, root.repeat_interval].map(|d| d.as_secs()),
        [0, 300, 86_400]
    );
}

#[test]
fn mistakes_in_maintenance_and_inhibition_by_matchers_are_shown() {
    let night = "[[time_interval]]\nname = \"night\"\nyears = \"2026\"\n";
    let with_night = |text: &str| -> &'static str { Box::leak(format!("{text}\n{night}").into_boxed_str()) };
    assert_each_is_the_only_error(&[
        Case(
            with_night("[[maintenance]]\nname = \"x\"\ntime_intervals = \"night\""),
            "1:1",
            "missing key \"matchers\"",
            "at least one matcher",
        ),
        Case(
            with_night("[[maintenance]]\nname = \"x\"\nmatchers = 'a=~\".*\"'\ntime_intervals = \"night\""),
            "3:1",
            "\"matchers\" would fit every alert",
            "",
        ),
        Case(
            "[[maintenance]]\nname = \"x\"\nmatchers = \"a=b\"",
            "1:1",
            "missing key \"time_intervals\"",
            "",
        ),
        Case(
            "[[inhibit]]\nsource_matchers = \"severity=critical\"",
            "1:1",
            "missing key \"target_matchers\"",
            "",
        ),
        Case(
            "[[inhibit]]\nsource_matchers = \"severity=critical\"\ntarget_matchers = \"alertname=Faling\"",
            "3:1",
            "no rule gives alerts that fit {alertname=\"Faling\"}",
            "",
        ),
        Case(
            "[[inhibit]]\nsource = \"Failing\"\nsource_matchers = \"severity=critical\"\n\
             target_matchers = \"severity=warning\"",
            "2:1",
            "\"source\" beside matchers",
            "",
        ),
    ]);
}
