//! Every kind of mistake: one error, its place, what was expected.

use tocsin::config::Problem;
use tocsin::config::problem::Severity;

use super::{BASE, plan_of, problems_of};

/// A mistake, where it is, the message, and a part of what was expected.
pub(super) struct Case(pub &'static str, pub &'static str, pub &'static str, pub &'static str);

pub(super) fn assert_each_is_the_only_error(cases: &[Case]) {
    for Case(text, place, message, expected) in cases {
        let problems = problems_of(&format!("{text}\n{BASE}"));
        let errors: Vec<&Problem> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
        let shown: Vec<String> = problems.iter().map(Problem::to_string).collect();
        let shown = shown.join("\n");
        assert_eq!(errors.len(), 1, "one error for\n{text}\nbut:\n{shown}");
        let first = format!("etc/tocsin.toml:{place}: error: ");
        assert!(shown.contains(&first), "{first}\nnot in\n{shown}");
        assert!(errors[0].message.contains(message), "{message}\nnot in\n{shown}");
        assert!(shown.contains(expected), "{expected}\nnot in\n{shown}");
    }
}

#[test]
fn the_base_of_the_cases_is_right() {
    assert_eq!(problems_of(BASE), []);
}

#[test]
fn slips_in_the_toml_and_its_keys_are_shown_with_their_place() {
    assert_each_is_the_only_error(&[
        Case("state_dir = \"/x", "1:16", "invalid basic string", "expected `\"`"),
        Case("state_dir = \"/x\"\nstate_dir = \"/y\"", "2:1", "duplicate key", ""),
        Case("[http\nlisten = \"off\"", "1:6", "", "]"),
        Case("bogus = 1", "1:1", "unknown key \"bogus\"", "expected one of "),
        Case("[htpp]", "1:2", "unknown key \"htpp\"", "did you mean \"http\"?"),
        Case("[http]\nlisen = \"off\"", "2:1", "unknown key \"lisen\"", "did you mean \"listen\"?"),
        Case("history_for = 5", "1:15", "wrong type: this is a number", "a length of time"),
        Case("history_for = \"90 days\"", "1:15", "\"90 days\" is no length of time", "\"90d\""),
        Case("history_for = \"0\"", "1:15", "\"history_for\" is zero", "above zero"),
        Case("[http]\nlisten = \"9650\"", "2:10", "\"9650\" is no address", "or \"off\""),
        Case("[http]\nexternal_url = \"me\"", "2:16", "\"me\" is no URL", "https://"),
        Case("receiver = 5", "1:12", "wrong type: this is a number", "[[receiver]]"),
        Case("override.Faling.count = 5", "1:10", "unknown rule \"Faling\"", "did you mean \"Failing\"?"),
        Case("override.Failing.cuont = 5", "1:18", "unknown key \"cuont\"", "did you mean \"count\"?"),
        Case("builtin.LogGab.severity = \"info\"", "1:9", "unknown built-in rule \"LogGab\"", "\"LogGap\"?"),
        Case("builtin.LogGap.after = \"1m\"", "1:16", "unknown key \"after\"", ""),
    ]);
}

#[test]
fn what_the_memory_cannot_hold_is_shown() {
    let metric = "[[metric]]\ntype = \"counter\"\nname = \"a_total\"\nhelp = \"x\"\n\
                  event = \"request\"\nlabels = [\"status\"]\nlabel_values_max = 1_000_000";
    let rule = "[[rule]]\nname = \"Many\"\ntype = \"rate\"\nevent = \"request\"\ncount = 3\n\
                window = \"1m\"\nseverity = \"info\"\nsummary = \"x\"\nby = [\"status\"]\n\
                keys_max = 1_000_000";
    assert_each_is_the_only_error(&[
        Case(
            "[limits]\nmemory = \"64MiB\"",
            "2:10",
            "\"memory\" is less than 1 source",
            "at least \"116MiB\"",
        ),
        Case("[limits]\nmemory = \"x\"", "2:10", "\"x\" is no size", "32MiB"),
        Case("[limits]\nmemroy = \"1GiB\"", "2:1", "unknown key \"memroy\"", "did you mean \"memory\"?"),
        Case(metric, "7:1", "1000000 values are more than [limits] memory", "expected at most 25941"),
        Case(rule, "10:1", "1000000 keys are more than [limits] memory", "expected at most 2432"),
    ]);
    let fits = format!("[limits]\nmemory = \"64GiB\"\n{metric}\n{rule}\n{BASE}");
    assert_eq!(problems_of(&fits), []);
}

#[test]
fn mistakes_in_sources_are_shown() {
    let source = |rest: &str| -> &'static str {
        let text = format!(
            "[[source]]\nname = \"two\"\n{rest}\n[[change]]\nsays = \"x\"\nsource = \"two\"\nmatch = 'x'"
        );
        Box::leak(text.into_boxed_str())
    };
    assert_each_is_the_only_error(&[
        Case(
            source("type = \"dcoker\""),
            "3:8",
            "unknown source type \"dcoker\"",
            "did you mean \"docker\"?",
        ),
        Case(source(""), "1:1", "missing key \"type\"", "journal, docker, file"),
        Case(
            source("type = \"journal\"\nuntit = \"x\""),
            "4:1",
            "unknown key \"untit\"",
            "did you mean \"unit\"?",
        ),
        Case(source("type = \"journal\"\nunit = \"a*\""), "4:8", "no name of a unit", "matches"),
        Case(
            source("type = \"journal\"\nmatches = \"x\""),
            "4:11",
            "no match of a journal field",
            "FIELD=value",
        ),
        Case(source("type = \"journal\"\nstart = \"yesterday\""), "4:9", "is no start", "\"beginning\""),
        Case(
            source("type = \"journal\"\nnamespace = \"a\"\ndirectory = \"/x\""),
            "1:1",
            "more than one of",
            "",
        ),
        Case(source("type = \"docker\""), "1:1", "nothing says which containers", "service"),
        Case(
            source("type = \"docker\"\nservice = \"a\"\nhost = \"x:1\""),
            "5:8",
            "no address of a Docker",
            "tcp://",
        ),
        Case(source("type = \"file\""), "1:1", "missing key \"paths\"", "glob"),
        Case(
            source("type = \"file\"\npaths = \"/x\"\nformat = \"json\""),
            "5:10",
            "unknown format",
            "docker-json",
        ),
        Case(
            source("type = \"file\"\npaths = \"/x\"\nline_bytes_max = \"1 lot\""),
            "5:18",
            "\"1 lot\" is no size",
            "MiB",
        ),
        Case(
            source("type = \"file\"\npaths = \"/x\"\ntimezone = \"Moon\""),
            "5:12",
            "unknown time zone \"Moon\"",
            "UTC",
        ),
    ]);
    let problems = problems_of("state_dir = \"/x\"");
    assert!(problems.iter().any(|p| p.message.contains("no source")), "{problems:?}");
}

#[test]
fn mistakes_in_patterns_and_fields_are_shown() {
    let event = |rest: &str| -> &'static str {
        let text = format!(
            "[[event]]\nname = \"two\"\nsource = \"app\"\n{rest}\n[[metric]]\nname = \"two_total\"\ntype = \"counter\"\nhelp = \"x\"\nevent = \"two\""
        );
        Box::leak(text.into_boxed_str())
    };
    assert_each_is_the_only_error(&[
        Case(event("match = '('"), "4:9", "does not compile: unclosed group", ""),
        Case(event("match = '(?:\\p{L}{900}){900}'"), "4:9", "too large", "10 MB"),
        Case(event("match = ''"), "4:9", "the pattern is empty", ""),
        Case(event("match = []"), "4:9", "empty list", "at least one"),
        Case(event("match = 5"), "4:9", "wrong type", "a pattern"),
        Case(event(""), "1:1", "missing key \"match\"", "kind = \"block\""),
        Case(event("match = 'a {{nope}}'"), "4:12", "unknown fragment \"nope\"", "there are none"),
        Case(
            event("match = 'x(?P<stauts>.)(?P<status>.)'\nfields.status = \"int\""),
            "4:15",
            "nothing uses the capture \"stauts\"",
            "did you mean \"status\"?",
        ),
        Case(event("match = 'x'\nmarker = '(?P<a>x)'"), "5:15", "nothing uses the capture \"a\"", ""),
        Case(event("match = 'x'\nfields.a = \"int\""), "5:8", "nothing fills the field \"a\"", "capture"),
        Case(event("match = '(?P<a>x)'\nfields.a = \"itn\""), "5:12", "unknown type \"itn\"", "\"int\"?"),
        Case(event("match = '(?P<a>x)'\nfields.a = \"bool\""), "4:14", "cannot be captured", "`set`"),
        Case(
            event("match = '(?P<a>x)'\nfields.a = { type = \"int\", default = \"x\" }"),
            "5:38",
            "wrong type",
            "int",
        ),
        Case(event("match = '(?P<a>x)'\nfields.a = { otherwise = \"x\" }"), "5:26", "is for numbers", ""),
        Case(event("match = '(?P<outcome>x)'\nfields.outcome = \"text\""), "5:8", "\"outcome\" is taken", ""),
        Case(event("match = 'x'\nkind = \"bolck\""), "5:8", "unknown kind", "did you mean \"block\"?"),
        Case(
            event("match = 'x'\nsources = [\"ap\"]"),
            "5:12",
            "unknown source \"ap\"",
            "did you mean \"app\"?",
        ),
        Case(
            event("kind = \"block\"\nmatch = 'x'\nbegin = 'x'\nstep = { match = 'y', effect = \"end\" }"),
            "5:1",
            "unknown key \"match\"",
            "",
        ),
        Case(
            event("kind = \"block\"\nbegin = 'x'\nlines_max = 0\nstep = { match = 'y', effect = \"end\" }"),
            "6:13",
            "0 is out of range",
            "at least 1",
        ),
        Case(
            event("kind = \"block\"\nbegin = 'x'\nstep = { match = 'y', effect = \"stop\" }"),
            "6:32",
            "unknown effect",
            "pick, decide, end, void",
        ),
        Case(
            event("kind = \"block\"\nbegin = 'x'\nstep = { match = 'y', effect = \"end\", set = { z = 1 } }"),
            "6:47",
            "unknown field \"z\"",
            "",
        ),
        Case(
            event("kind = \"block\"\nbegin = 'x'\nstep = { match = 'y', json = { decides = true } }"),
            "6:10",
            "no capture \"json\"",
            "(?P<json>",
        ),
        Case(
            event(
                "kind = \"block\"\nbegin = 'x'\nfields.c = \"int\"\nstep = { match = '(?P<json>y)', json = { decides = true, pointers = [{ pointer = \"c\", field = \"c\" }] } }",
            ),
            "7:82",
            "no JSON pointer",
            "before each key",
        ),
        Case(
            "[[change]]\nsays = \"x\"\nmatch = '(?P<valeu>x)'",
            "3:14",
            "nothing uses the capture",
            "\"value\"?",
        ),
        Case("[[redact]]\nmatch = '(?P<key>x)'", "2:14", "nothing uses the capture \"key\"", ""),
        Case("[fragments]\na = '{{b}}'\nb = '{{a}}'\n[[redact]]\nmatch = '{{a}}'", "5:9", "in a circle", ""),
    ]);
}

#[test]
fn conditions_that_could_never_hold_are_refused() {
    let outcome = |when: &str| -> &'static str {
        let text = format!(
            "[[event]]\nname = \"two\"\nsource = \"app\"\nmatch = '(?P<n>x)(?P<t>y)'\n[event.fields]\nn = \"int\"\nt = \"text\"\n[[event.outcome]]\nname = \"a\"\nwhen = '''{when}'''\n[[metric]]\nname = \"two_total\"\ntype = \"counter\"\nhelp = \"x\"\nevent = \"two\"\nlabels = [\"outcome\"]"
        );
        Box::leak(text.into_boxed_str())
    };
    assert_each_is_the_only_error(&[
        Case(outcome("event.n =="), "10:8", "does not compile", ""),
        Case(outcome("event.n ~ 1"), "10:19", "does not compile", ""),
        Case(outcome("event.m == 1"), "10:11", "unknown field \"m\"", "expected one of n, t"),
        Case(outcome("n == 1"), "10:11", "unknown name \"n\"", "expected event.n"),
        Case(
            outcome("event.t.startWith(\"x\")"),
            "10:19",
            "unknown function \"startWith\"",
            "\"startsWith\"?",
        ),
        Case(outcome("event.n == \"1\""), "10:11", "is a number and is compared with a text", ""),
        Case(outcome("event.t in [1, 2]"), "10:11", "is a text and is compared with a number", ""),
        Case(outcome("has(event.n) &&\n event.t > 5"), "11:2", "is a text and is compared with a number", ""),
        Case(outcome("event.n"), "10:8", "gives neither true nor false", ""),
        Case(outcome("event.n + 1.5 > 2.0"), "10:8", "cannot add values of these types", ""),
        Case(outcome("event.n.startsWith(\"x\")"), "10:8", "never holds", ""),
        Case(outcome("event.t.matches(\"(\")"), "10:8", "never holds", ""),
        Case(outcome("event.is_closed"), "10:11", "unknown field \"is_closed\"", ""),
    ]);
    // What holds for a line event does not for a block, and texts are fine.
    plan_of(&format!(
        "{}\n{BASE}",
        outcome("event.n in [1, 2] && event.t == \"x\" && [1].exists(i, i == event.n)")
    ));
}

#[test]
fn outcomes_behind_one_without_a_condition_are_refused() {
    let text = BASE.replace("when = 'event.status >= 500'\n", "");
    let problems = problems_of(&text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].message.contains("cannot be reached: \"failed\" above"), "{problems:?}");
    assert_eq!(problems[0].line, 14);
}

#[test]
fn mistakes_in_metrics_are_shown() {
    let metric = |rest: &str| -> &'static str {
        Box::leak(format!("[[metric]]\nhelp = \"x\"\n{rest}").into_boxed_str())
    };
    assert_each_is_the_only_error(&[
        Case(
            metric("name = \"a\"\ntype = \"counter\"\nevent = \"request\""),
            "3:8",
            "must end in _total",
            "expected \"a_total\"",
        ),
        Case(
            metric("name = \"a_total\"\ntype = \"gauge\"\nvalue = \"time\"\nevent = \"request\""),
            "3:8",
            "only the name of a counter",
            "expected \"a\"",
        ),
        Case(
            metric("name = \"a-b_total\"\ntype = \"counter\"\nevent = \"request\""),
            "3:8",
            "is no metric name",
            "",
        ),
        Case(
            metric("name = \"tocsin_x_total\"\ntype = \"counter\"\nevent = \"request\""),
            "3:8",
            "tocsin's own",
            "",
        ),
        Case(
            metric("name = \"a_total\"\ntype = \"conter\"\nevent = \"request\""),
            "4:8",
            "unknown metric type",
            "\"counter\"?",
        ),
        Case(
            metric("name = \"a_total\"\ntype = \"counter\"\nevent = \"requests\""),
            "5:9",
            "unknown event \"requests\"",
            "did you mean \"request\"?",
        ),
        Case(
            metric("name = \"a_total\"\ntype = \"counter\"\nevent = \"request\"\nlabels = [\"__a\"]"),
            "6:11",
            "reserved",
            "",
        ),
        Case(
            metric("name = \"a_total\"\ntype = \"counter\"\nevent = \"request\"\nlabels = [\"stat\"]"),
            "6:11",
            "unknown field \"stat\"",
            "did you mean \"status\"?",
        ),
        Case(
            metric(
                "name = \"a_total\"\ntype = \"counter\"\nevent = \"request\"\nlabels = [\"status\", \"status\"]",
            ),
            "6:21",
            "twice",
            "",
        ),
        Case(
            metric("name = \"a_total\"\ntype = \"counter\"\nevent = \"request\"\noutcomes = [\"fail\"]"),
            "6:13",
            "unknown outcome \"fail\" of the event \"request\"",
            "\"failed\"?",
        ),
        Case(
            metric("name = \"a\"\ntype = \"gauge\"\nevent = \"request\""),
            "1:1",
            "missing key \"value\"",
            "\"time\"",
        ),
        Case(
            metric("name = \"a\"\ntype = \"gauge\"\nrule = \"Failng\""),
            "5:8",
            "unknown rule \"Failng\"",
            "did you mean \"Failing\"?",
        ),
        Case(
            metric("name = \"a\"\ntype = \"gauge\"\nrule = \"Failing\"\nlabels = [\"x\"]"),
            "6:11",
            "unknown label of the rule",
            "there are none",
        ),
        Case(
            metric(
                "name = \"a\"\ntype = \"histogram\"\nevent = \"request\"\nfield = \"status\"\nbuckets = [1, 2, 2]",
            ),
            "7:18",
            "do not ascend",
            "",
        ),
        Case(
            "[[metric]]\nname = \"a_total\"\ntype = \"counter\"\nevent = \"request\"",
            "1:1",
            "missing key \"help\"",
            "",
        ),
    ]);
    let twice = metric("name = \"a\"\ntype = \"gauge\"\nevent = \"request\"\nvalue = \"time\"").to_owned()
        + "\n"
        + metric("name = \"a\"\ntype = \"histogram\"\nevent = \"request\"\nfield = \"status\"");
    let problems = problems_of(&format!("{twice}\n{BASE}"));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].message.contains("defined twice, as gauge and as histogram"));
    assert_eq!(problems[0].expected, "the first stands at etc/tocsin.toml:3");
}

#[test]
fn mistakes_in_rules_are_shown() {
    let rule = |rest: &str| -> &'static str {
        let all = format!(
            "[[rule]]\nname = \"Two\"\nsummary = \"x\"\nseverity = \"warning\"\nevent = \"request\"\n{rest}"
        );
        Box::leak(all.into_boxed_str())
    };
    assert_each_is_the_only_error(&[
        Case(rule(""), "1:1", "missing key \"type\"", "streak, rate, ratio, staleness"),
        Case(rule("type = \"strek\""), "6:8", "unknown rule type", "\"streak\"?"),
        Case(rule("type = \"rate\"\nwindow = \"5m\""), "1:1", "missing key \"count\"", ""),
        Case(rule("type = \"rate\"\ncount = 0\nwindow = \"5m\""), "7:9", "0 is out of range", "at least 1"),
        Case(rule("type = \"rate\"\ncount = 3"), "1:1", "missing key \"window\"", "\"5m\""),
        Case(
            rule("type = \"rate\"\ncount = 3\nwindow = \"5m\"\noutcomes = [\"okay\"]"),
            "9:13",
            "unknown outcome \"okay\"",
            "",
        ),
        Case(
            rule("type = \"rate\"\ncount = 3\nwindow = \"5m\"\nshare = 0.2"),
            "9:1",
            "unknown key \"share\"",
            "",
        ),
        Case(
            rule("type = \"rate\"\ncount = 3\nwindow = \"5m\"\nby = [\"severity\"]"),
            "9:7",
            "a label \"severity\" of its own",
            "",
        ),
        Case(
            rule(
                "type = \"rate\"\ncount = 3\nwindow = \"5m\"\ndescription = \"{{statu}}\"\nby = [\"status\"]",
            ),
            "9:16",
            "unknown name \"statu\" in the text",
            "\"status\"?",
        ),
        Case(rule("type = \"streak\"\ncount = 3"), "1:1", "missing key \"bad\"", ""),
        Case(
            rule("type = \"streak\"\ncount = 3\nbad = [\"failed\"]\ngood = [\"failed\"]"),
            "9:1",
            "both bad and good",
            "",
        ),
        Case(rule("type = \"streak\"\ncount = 3\nbad = []"), "8:1", "can never fire", ""),
        Case(
            rule("type = \"ratio\"\ncount = 3\nbad = [\"failed\"]\nshare = 20\nwindow = \"5m\""),
            "9:9",
            "the share 20 is out of range",
            "up to 1",
        ),
        Case(rule("type = \"staleness\""), "1:1", "missing key \"after\"", "levels"),
        Case(
            "[[rule]]\nname = \"Two\"\nsummary = \"x\"\nevent = \"request\"\ntype = \"staleness\"\nlevels = [{ severity = \"warning\", after = \"8m\" }, { severity = \"critical\", after = \"8m\" }]",
            "6:84",
            "the ages of the levels do not ascend",
            "",
        ),
        Case(
            "[[rule]]\nname = \"Two\"\nsummary = \"x\"\nevent = \"request\"\ntype = \"staleness\"\nlevels = [{ severity = \"warning\", after = \"8m\", grace = \"1m\" }]",
            "6:49",
            "without an event it begins at",
            "grace_event",
        ),
        Case(
            "[[rule]]\nname = \"Two\"\nsummary = \"x\"\nevent = \"reqest\"\ntype = \"rate\"\ncount = 1\nwindow = \"1m\"\nseverity = \"info\"",
            "4:9",
            "unknown event \"reqest\"",
            "did you mean \"request\"?",
        ),
        Case(
            "[[rule]]\nname = \"LogGap\"\nsummary = \"x\"\nevent = \"request\"\ntype = \"rate\"\ncount = 1\nwindow = \"1m\"\nseverity = \"info\"",
            "2:8",
            "\"LogGap\" is built in",
            "[builtin.LogGap]",
        ),
        Case(
            "[[inhibit]]\nsource = \"Faling\"\ntargets = \"LogGap\"",
            "2:10",
            "unknown rule \"Faling\"",
            "\"Failing\"?",
        ),
        Case("[[inhibit]]\nsource = \"Failing\"\ntargets = [\"Failing\"]", "3:12", "keep itself quiet", ""),
        Case(
            "[[inhibit]]\nsource = \"Failing\"\ntargets = \"LogGap\"\nequal = [\"method\"]",
            "4:10",
            "unknown label \"method\" of the rule \"Failing\"",
            "",
        ),
    ]);
}

#[test]
fn mistakes_in_receivers_are_shown_without_their_secrets() {
    let receiver = |rest: &str| -> &'static str {
        Box::leak(format!("[[receiver]]\nname = \"r\"\n{rest}").into_boxed_str())
    };
    let cases = [
        Case(receiver(""), "1:1", "missing key \"type\"", "slack, telegram, pagerduty"),
        Case(receiver("type = \"slakc\""), "3:8", "unknown receiver type", "\"slack\"?"),
        Case(receiver("type = \"slack\""), "1:1", "missing key \"url\"", "url_file"),
        Case(receiver("type = \"slack\"\nurl = \"hunter22\""), "4:1", "\"url\" gives no URL", "https://"),
        Case(
            receiver("type = \"slack\"\nurl = 'http://hunter22'\nurl_env = \"X\""),
            "5:1",
            "both \"url\" and \"url_env\"",
            "exactly one",
        ),
        Case(receiver("type = \"slack\"\nurl_env = \"NOT_SET\""), "4:11", "NOT_SET is not set", ""),
        Case(receiver("type = \"slack\"\nurl_file = \"gone\""), "4:12", "cannot read etc/gone", ""),
        Case(
            receiver("type = \"slack\"\nurl_credential = \"u\""),
            "4:18",
            "no $CREDENTIALS_DIRECTORY",
            "LoadCredential=u:PATH",
        ),
        Case(receiver("type = \"slack\"\nurl_credential = \"../u\""), "4:18", "no name of a credential", ""),
        Case(
            receiver("type = \"webhook\"\nurl = \"http://x\"\nscret = \"hunter22\""),
            "5:1",
            "unknown key \"scret\"",
            "\"secret\"?",
        ),
        Case(
            receiver("type = \"webhook\"\nurl = \"http://x\"\nheaders = { \"A B\" = \"hunter22\" }"),
            "5:13",
            "no header name",
            "",
        ),
        Case(
            receiver("type = \"webhook\"\nurl = \"http://x\"\nca_file = \"ca.pem\""),
            "5:11",
            "cannot read etc/ca.pem",
            "",
        ),
        Case(receiver("type = \"telegram\"\nchat_id = 5"), "1:1", "missing key \"token\"", "@BotFather"),
        Case(
            receiver("type = \"telegram\"\nchat_id = 5\ntoken = \"hunter22\""),
            "5:1",
            "no token of a bot",
            "digits, a colon",
        ),
        Case(
            receiver("type = \"telegram\"\ntoken = \"1:hunter22\""),
            "1:1",
            "missing key \"chat_id\"",
            "@name",
        ),
        Case(
            receiver("type = \"telegram\"\ntoken = \"1:hunter22\"\nchat_id = \"ops\""),
            "5:11",
            "\"ops\" is no chat",
            "@name",
        ),
        Case(receiver("type = \"pagerduty\""), "1:1", "missing key \"routing_key\"", "Events API v2"),
        Case(
            receiver("type = \"pagerduty\"\nrouting_key = \"hunter2\"\nroting_key = \"hunter22\""),
            "5:1",
            "unknown key \"roting_key\"",
            "\"routing_key\"?",
        ),
        Case(
            receiver("type = \"email\"\nhost = \"h\"\nfrom = \"a@b\"\nto = \"nobody\""),
            "6:6",
            "no mail address",
            "",
        ),
        Case(
            receiver("type = \"email\"\nhost = \"h\"\nfrom = \"a@b\"\nto = \"c@d\"\nusername = \"u\""),
            "1:1",
            "missing key \"password\"",
            "password_file",
        ),
        Case(
            receiver("type = \"email\"\nhost = \"h\"\nfrom = \"a@b\"\nto = \"c@d\"\nport = 70000"),
            "7:8",
            "70000 is no port",
            "",
        ),
        Case(
            receiver("type = \"email\"\nhost = \"h\"\nfrom = \"a@b\"\nto = \"c@d\"\npasword = \"hunter22\""),
            "7:1",
            "unknown key \"pasword\"",
            "\"password\"?",
        ),
        Case("[heartbeat]\ninterval = \"1m\"", "1:2", "missing key \"url\"", ""),
        Case("[heartbeat]\nurl = \"http://x\"\nmethod = \"PUT\"", "3:10", "no method of a heartbeat", ""),
        Case(
            "[heartbeat]\nurl = \"http://x\"\nmethod = \"GET\"\nbody = \"x\"",
            "4:8",
            "a GET has no body",
            "",
        ),
    ];
    assert_each_is_the_only_error(&cases);
    for Case(text, ..) in cases {
        for problem in problems_of(&format!("{text}\n{BASE}")) {
            assert!(!problem.to_string().contains("hunter22"), "{problem}");
        }
    }
}
