//! How a notice says that what it tells of is over.

use serde_json::Value;
use tocsin::config::plan::{ReceiverKind, ReceiverPlan};
use tocsin::model::{End, Notification, Outgoing, OutgoingBody};
use tocsin::notifier::mark_as_over;

use super::{at, email, every_kind, everything, json, notice, notification, rendered, slack, webhook};

/// The wording of an end for who was not told of the beginning in time.
fn late(notification: &Notification, plan: &ReceiverPlan) -> Outgoing {
    let mut outgoing = rendered(notification, plan);
    outgoing.body = outgoing.end.take().unwrap().past.unwrap();
    outgoing
}

fn headers(outgoing: &Outgoing) -> &[(String, String)] {
    match &outgoing.body {
        OutgoingBody::Http { headers, .. } => headers,
        OutgoingBody::Mail { .. } => &[],
    }
}

#[test]
fn a_late_end_says_at_once_that_it_is_over_and_when_it_was() {
    let ended = notification(vec![notice("private/user-balance", false)]);
    for plan in [slack("http://x/"), email()] {
        let text = everything(&late(&ended, &plan));
        let first = text.lines().find(|line| line.starts_with("[R")).unwrap();
        assert!(first.starts_with("[RESOLVED] past: ExchangeAuthFailing: "), "{first}");
        let said = "It is over: it began 2026-03-14 09:12:41 UTC and ended 2026-03-14 09:24:42 UTC (12m 1s), \
                    before this could be told.";
        assert!(text.contains(said), "{text}");
        assert!(!text.contains("FIRING"), "{text}");
    }
}

#[test]
fn only_what_ends_a_thread_has_words_for_who_was_not_told() {
    let firing = notification(vec![notice("private/a", true), notice("private/b", false)]);
    let mut test = notification(vec![notice("private/a", false)]);
    test.is_test = true;
    let ended = notification(vec![notice("private/a", false)]);
    let mut past = ended.clone();
    past.is_past = true;
    for plan in every_kind() {
        assert_eq!(rendered(&firing, &plan).end, None);
        assert_eq!(rendered(&test, &plan).end, None);
        let stands_alone = !matches!(plan.kind, ReceiverKind::Webhook { .. });
        assert_eq!(rendered(&past, &plan).end, Some(End { past: None, stands_alone }));
        let outgoing = rendered(&ended, &plan);
        let end = outgoing.end.unwrap();
        assert_eq!(end.stands_alone, stands_alone);
        assert_eq!(end.past, Some(rendered(&past, &plan).body), "the words are those of a past notice");
        assert_ne!(end.past, Some(outgoing.body));
    }
}

#[test]
fn a_webhook_is_told_of_the_past_by_annotation_and_header() {
    let plan = webhook("http://127.0.0.1:1/");
    let ended = notification(vec![notice("private/a", false)]);
    let outgoing = late(&ended, &plan);
    let body = json(&outgoing);
    assert_eq!(body["status"], "resolved");
    assert_eq!(body["alerts"][0]["annotations"]["notice"], "past");
    assert_eq!(body["commonAnnotations"]["notice"], "past");
    let mark = ("X-Tocsin-Notice".to_owned(), "past".to_owned());
    assert!(headers(&outgoing).contains(&mark));
    assert!(!headers(&rendered(&ended, &plan)).contains(&mark));
    // The firing keeps its text; an attempt that comes too late is marked.
    let firing = rendered(&notification(vec![notice("private/a", true)]), &plan);
    let mut marked = firing.clone();
    mark_as_over(&mut marked);
    assert!(headers(&marked).contains(&mark) && !headers(&firing).contains(&mark));
    assert_eq!(json(&marked), json(&firing));
}

#[test]
fn a_notice_of_several_rules_names_them_and_how_often() {
    let mut several = notification((0..3).map(|n| notice(&format!("private/{n}"), false)).collect());
    several.is_past = true;
    several.group_labels.clear();
    several.alerts[1].alert = "PortfolioSyncFailing".to_owned();
    several.alerts[1].starts_at = at("2026-03-14T07:00:00Z");
    for plan in every_kind() {
        let outgoing = rendered(&several, &plan);
        let text = everything(&outgoing);
        if matches!(plan.kind, ReceiverKind::Alertmanager(_)) {
            // It is told alerts and groups them itself.
            continue;
        }
        if super::is_for_programs(&plan) {
            let body = json(&outgoing);
            assert_eq!(
                (&body["groupKey"], &body["groupLabels"]),
                (&Value::from("{}:{}"), &serde_json::json!({}))
            );
            assert_eq!(body["alerts"][1]["labels"]["alertname"], "PortfolioSyncFailing");
            assert!(body["alerts"].as_array().unwrap().iter().all(|a| a["annotations"]["notice"] == "past"));
            continue;
        }
        let headline = "[RESOLVED] past: 3 incidents: ExchangeAuthFailing (2), PortfolioSyncFailing";
        assert!(text.contains(headline), "{text}");
        let span = "the first began 2026-03-14 07:00:00 UTC, the last ended 2026-03-14 09:24:42 UTC (2h 24m)";
        assert!(text.contains(span), "{text}");
    }
}
