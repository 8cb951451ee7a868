//! What a receiver's answer means, and when to try again.
//!
//! It decides; the daemon records and waits. An error before any answer (no
//! connection, a timeout) never comes here: it is always worth another try.
//! A redirect is a refusal: following it would carry the body, and with some
//! servers the credentials, to a place nobody configured.

use std::time::Duration;

use crate::config::plan::ReceiverKind;
use crate::model::Time;

use super::telegram;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(300);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
const WHY_CHARS_MAX: usize = 200;

/// Slack's answers that no later attempt will change (its incoming webhooks'
/// error reference), whatever status they come with.
const SLACK_NEVER: &[&str] = &[
    "action_prohibited",
    "channel_is_archived",
    "channel_not_found",
    "invalid_attachments",
    "invalid_blocks",
    "invalid_payload",
    "invalid_token",
    "missing_text_or_fallback_or_attachments",
    "no_active_hooks",
    "no_service",
    "no_team",
    "no_text",
    "posting_to_general_channel_denied",
    "team_disabled",
    "too_many_attachments",
    "user_not_found",
];

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Accepted,
    /// Try again.
    Later {
        /// Not before so long, where the receiver said so; at most an hour.
        after: Option<Duration>,
        /// Why, one short line.
        why: String,
    },
    /// No attempt will help; given up.
    Never {
        /// Why, one short line.
        why: String,
    },
}

/// Judges an answer: an HTTP status, or an SMTP reply code for a mail.
/// `excerpt` is the beginning of the answer's text, redacted.
pub fn classify(
    kind: &ReceiverKind,
    status: u16,
    retry_after: Option<&str>,
    excerpt: &str,
    now: Time,
) -> Verdict {
    let asked = retry_after.and_then(|text| wait(text, now));
    match kind {
        ReceiverKind::Email(_) => smtp(status, excerpt),
        ReceiverKind::Slack { .. } if is_slack_refusal(excerpt) => {
            Verdict::Never { why: why("HTTP", status, excerpt) }
        }
        ReceiverKind::Telegram(_) => {
            let told = telegram::retry_after(excerpt).map(|span| span.min(RETRY_AFTER_MAX));
            http(status, asked.or(told), excerpt)
        }
        _ => http(status, asked, excerpt),
    }
}

/// When to make the next attempt after `attempts` of them (1 or more): 1 s,
/// doubled each time up to 5 min, of which `jitter` (any number) takes off up
/// to a half; never before `after` is over.
pub fn next_attempt(attempts: u32, after: Option<Duration>, now: Time, jitter: u64) -> Time {
    let doublings = attempts.saturating_sub(1).min(16);
    let delay = FIRST_DELAY.saturating_mul(1 << doublings).min(DELAY_MAX);
    let half = delay / 2;
    let spread = Duration::from_millis(jitter % (half.as_millis() as u64 + 1));
    let asked = after.unwrap_or_default().min(RETRY_AFTER_MAX);
    now.plus((delay - spread).max(asked))
}

fn http(status: u16, after: Option<Duration>, excerpt: &str) -> Verdict {
    let why = || why("HTTP", status, excerpt);
    match status {
        200..=299 => Verdict::Accepted,
        300..=399 => Verdict::Never { why: format!("{} (redirects are not followed)", why()) },
        408 | 425 | 429 => Verdict::Later { after, why: why() },
        400..=499 => Verdict::Never { why: why() },
        _ => Verdict::Later { after, why: why() },
    }
}

fn smtp(code: u16, excerpt: &str) -> Verdict {
    match code {
        200..=299 => Verdict::Accepted,
        500..=599 => Verdict::Never { why: why("SMTP", code, excerpt) },
        _ => Verdict::Later { after: None, why: why("SMTP", code, excerpt) },
    }
}

fn is_slack_refusal(excerpt: &str) -> bool {
    let said = excerpt.trim();
    SLACK_NEVER.iter().any(|known| said.eq_ignore_ascii_case(known) || said.starts_with(&format!("{known}:")))
}

fn why(protocol: &str, status: u16, excerpt: &str) -> String {
    let clean: String = excerpt.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = super::words::cut(clean.trim(), WHY_CHARS_MAX);
    if text.is_empty() { format!("{protocol} {status}") } else { format!("{protocol} {status}: {text}") }
}

/// `Retry-After`: seconds or an HTTP date, at most an hour.
fn wait(text: &str, now: Time) -> Option<Duration> {
    let text = text.trim();
    let span = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        http_date(text)?.since(now)
    };
    Some(span.min(RETRY_AFTER_MAX))
}

/// RFC 9110's preferred form, `Sun, 06 Nov 1994 08:49:37 GMT`; the two
/// obsolete ones are nobody's today.
fn http_date(text: &str) -> Option<Time> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split(' ').collect();
    let [_weekday, day, month, year, clock, "GMT"] = words.as_slice() else {
        return None;
    };
    let month = MONTHS.iter().position(|name| name == month)? + 1;
    Time::parse_rfc3339(&format!("{year}-{month:02}-{day}T{clock}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: ReceiverKind = ReceiverKind::Console;

    fn later(status: u16) -> bool {
        matches!(classify(&HTTP, status, None, "", Time(0)), Verdict::Later { after: None, .. })
    }

    #[test]
    fn only_what_may_pass_by_is_tried_again() {
        assert_eq!(classify(&HTTP, 204, None, "", Time(0)), Verdict::Accepted);
        assert!([408, 425, 429, 500, 502, 503, 504, 599].into_iter().all(later));
        for status in [301, 302, 307, 308, 400, 401, 403, 404, 410, 413, 422] {
            assert!(matches!(classify(&HTTP, status, None, "", Time(0)), Verdict::Never { .. }), "{status}");
        }
    }

    #[test]
    fn slack_says_by_a_word_what_no_attempt_will_change() {
        let slack = ReceiverKind::Slack { url: crate::model::Secret::new("x"), http: Default::default() };
        let verdict = |status, text| classify(&slack, status, None, text, Time(0));
        assert_eq!(verdict(200, "ok"), Verdict::Accepted);
        assert_eq!(verdict(404, "no_service"), Verdict::Never { why: "HTTP 404: no_service".to_owned() });
        assert!(matches!(verdict(500, "invalid_payload\n"), Verdict::Never { .. }));
        assert!(matches!(verdict(500, "rollup_error"), Verdict::Later { .. }));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_an_hour() {
        let now = Time::parse_rfc3339("1994-11-06T08:49:07Z").unwrap();
        let after = |text| match classify(&HTTP, 429, Some(text), "", now) {
            Verdict::Later { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("99999999999999999999999"), Some(Duration::from_secs(3_600)));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-5"), None);
    }

    #[test]
    fn a_mail_server_says_later_with_4_and_never_with_5() {
        let plan = crate::config::plan::EmailPlan {
            host: String::new(),
            port: 25,
            tls: crate::config::plan::MailTls::None,
            username: None,
            password: None,
            from: String::new(),
            to: Vec::new(),
            ca_file: None,
        };
        let mail = ReceiverKind::Email(Box::new(plan));
        assert_eq!(classify(&mail, 250, None, "", Time(0)), Verdict::Accepted);
        assert!(matches!(classify(&mail, 451, None, "", Time(0)), Verdict::Later { .. }));
        assert!(matches!(classify(&mail, 550, None, "", Time(0)), Verdict::Never { .. }));
    }

    #[test]
    fn attempts_grow_rarer_up_to_five_minutes_and_wait_as_asked() {
        let secs = |attempts, after, jitter| next_attempt(attempts, after, Time(0), jitter).as_secs_f64();
        assert_eq!(secs(1, None, 0), 1.0);
        assert_eq!(secs(2, None, 0), 2.0);
        assert_eq!(secs(9, None, 0), 256.0);
        assert_eq!(secs(10, None, 0), 300.0);
        assert_eq!(secs(u32::MAX, None, 0), 300.0);
        assert_eq!(secs(10, Some(Duration::from_secs(40 * 60)), 7), 2_400.0);
        assert_eq!(secs(1, Some(Duration::from_secs(u64::MAX)), 7), 3_600.0);
        for jitter in [1, 77, 12_345, u64::MAX] {
            assert!((150.0..=300.0).contains(&secs(12, None, jitter)), "{jitter}");
        }
    }
}
