//! Reads stories (`tests/replays/*.story`): log lines with their times, and
//! what must be concluded. The format is told in `tests/replays/README.md`.

use serde_json::Value;
use tocsin::model::Time;

/// The day on which all stories happen.
pub const DAY: &str = "2026-03-14";
/// Secrets that every request of a story shows in its lines.
pub const SECRETS: &[&str] = &[
    "FAKEKEYa1b2c3d4e5f6g7",
    "203.0.113.77",
    "fakes3",
    "deadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    "SELL-secret-parameter",
];

/// One story.
#[derive(Clone, Debug, Default)]
pub struct Story {
    pub title: String,
    pub file: String,
    pub entries: Vec<Entry>,
    pub since: Option<Time>,
    pub until: Option<Until>,
    pub timeline: Vec<Expected>,
    pub metrics: Vec<(String, Option<f64>)>,
    /// Texts that must not be anywhere in the output.
    pub forbidden: Vec<String>,
    /// It depends on what only `-o export` tells.
    pub is_export_only: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Until {
    At(Time),
    After(f64),
}

/// One log line.
#[derive(Clone, Debug)]
pub struct Entry {
    pub writer: Writer,
    /// Wall time.
    pub at: Time,
    /// Since the boot, in microseconds.
    pub monotonic: i64,
    pub boot: u8,
    pub text: String,
    pub line_break: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Writer {
    Proxy(u32),
    Systemd,
    Journald,
    /// Compose's number of the container.
    Backend(u32),
}

/// One line of the timeline.
#[derive(Clone, Debug)]
pub struct Expected {
    pub at: Time,
    pub alert: String,
    pub state: String,
    pub severity: String,
    pub value: Option<f64>,
    pub inhibited_by: Option<String>,
    pub labels: Vec<(String, String)>,
}

struct Reader {
    story: Story,
    /// Wall clock less true time, in microseconds.
    step: i64,
    boot: u8,
    booted_at: Time,
    is_expecting: bool,
    last: Option<(Writer, Time)>,
}

/// All stories of a file.
pub fn read(file: &str, text: &str) -> Vec<Story> {
    let mut stories = Vec::new();
    let mut reader: Option<Reader> = None;
    for (number, line) in text.lines().enumerate() {
        if let Some(title) = line.strip_prefix("=== ") {
            stories.extend(reader.take().map(Reader::finish));
            let story = Story { title: title.to_owned(), file: file.to_owned(), ..Story::default() };
            let booted_at = Time(time("00:00:00").0);
            reader = Some(Reader { story, step: 0, boot: 0xa, booted_at, is_expecting: false, last: None });
        } else if let Some(reader) = reader.as_mut() {
            reader.line(line).unwrap_or_else(|| panic!("{file}:{}: {line}", number + 1));
        }
    }
    stories.extend(reader.map(Reader::finish));
    stories
}

/// A time of the stories' day.
pub fn time(text: &str) -> Time {
    Time::parse_rfc3339(&format!("{DAY}T{text}Z")).unwrap_or_else(|| panic!("no time: {text}"))
}

/// Seconds of `90s`, `5m`, `1h`, `1.5s`.
fn span(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * unit)
}

impl Reader {
    /// Lines of repetitions that overlap stand in the order of true time.
    fn finish(mut self) -> Story {
        self.story.entries.sort_by_key(|e| (e.boot, e.monotonic));
        self.story
    }

    fn line(&mut self, line: &str) -> Option<()> {
        if line.trim().is_empty() || line.starts_with('#') {
            return Some(());
        }
        if let Some(text) = line.trim_start().strip_prefix('|') {
            let (writer, at) = self.last.clone()?;
            let at = Time(at.0 + 100_000);
            self.last = Some((writer.clone(), at));
            self.push(&writer, at, text.strip_prefix(' ').unwrap_or(text), None);
            return Some(());
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "expect" => self.is_expecting = true,
            "since" => self.story.since = Some(time(rest)),
            "until" => {
                self.story.until = Some(match rest.strip_prefix('+') {
                    Some(rest) => Until::After(span(rest)?),
                    None => Until::At(time(rest)),
                });
            }
            "forbidden" => self.story.forbidden.push(rest.to_owned()),
            "export-only" => self.story.is_export_only = true,
            // Wall clock, against true time.
            "step" => {
                let sign = if rest.starts_with('-') { -1.0 } else { 1.0 };
                self.step += (span(&rest[1..])? * sign * 1e6) as i64;
            }
            "boot" => {
                self.boot += 1;
                self.booted_at = time(rest);
            }
            "requests" | "syncs" => self.outcomes(word, rest)?,
            _ if word.starts_with(|c: char| c.is_ascii_digit()) && self.is_expecting => {
                self.expected(word, rest)?;
            }
            _ if word.starts_with(|c: char| c.is_ascii_digit()) => self.entries(word, rest)?,
            _ => {
                let (series, value) = line.rsplit_once(' ')?;
                let value = if value == "absent" { None } else { Some(value.parse().ok()?) };
                self.story.metrics.push((series.to_owned(), value));
            }
        }
        Some(())
    }

    /// `requests ok=3 unknown=1`: so many of these, and none of the others.
    fn outcomes(&mut self, what: &str, rest: &str) -> Option<()> {
        let (metric, all): (_, &[&str]) = match what {
            "requests" => (
                "crypto_exchange_requests_total",
                &["ok", "auth_failed", "rate_limited", "upstream_failed", "rejected", "unknown"],
            ),
            _ => ("portfolio_syncs_total", &["ok", "failed", "empty"]),
        };
        for outcome in all {
            let prefix = format!("{outcome}=");
            let count = rest.split(' ').find_map(|w| w.strip_prefix(&prefix));
            let count: f64 = count.map_or(Some(0.0), |c| c.parse().ok())?;
            self.story.metrics.push((format!("{metric}{{outcome=\"{outcome}\"}}"), Some(count)));
        }
        rest.split(' ').all(|w| w == "none" || all.iter().any(|o| w.starts_with(o))).then_some(())
    }

    /// `09:00:40 ExchangeAuthFailing firing critical value=3 by=Other method=x`.
    fn expected(&mut self, at: &str, rest: &str) -> Option<()> {
        let mut words = rest.split_ascii_whitespace();
        let mut expected = Expected {
            at: time(at),
            alert: words.next()?.to_owned(),
            state: words.next()?.to_owned(),
            severity: words.next()?.to_owned(),
            value: None,
            inhibited_by: None,
            labels: Vec::new(),
        };
        for word in words {
            match word.split_once('=')? {
                ("value", value) => expected.value = Some(value.parse().ok()?),
                ("by", alert) => expected.inhibited_by = Some(alert.to_owned()),
                (label, value) => expected.labels.push((label.to_owned(), value.to_owned())),
            }
        }
        self.story.timeline.push(expected);
        Some(())
    }

    /// `09:00:00 proxy[7]: text`, `09:00:00..09:01:00/20s proxy !request …`.
    fn entries(&mut self, when: &str, rest: &str) -> Option<()> {
        let times = match when.split_once("..") {
            None => vec![time(when)],
            Some((from, rest)) => {
                let (to, step) = rest.split_once('/')?;
                let step = (span(step)? * 1e9) as i64;
                let (from, to) = (time(from).0, time(to).0);
                (0..=(to - from) / step).map(|i| Time(from + i * step)).collect()
            }
        };
        let end = rest.find([':', ' ', '[']).unwrap_or(rest.len());
        let (name, mut rest) = rest.split_at(end);
        let (mut number, mut line_break) = (None, None);
        if let Some(inside) = rest.strip_prefix('[') {
            let (inside, after) = inside.split_once(']')?;
            for word in inside.split(',') {
                match word.parse::<u32>() {
                    Ok(n) => number = Some(n),
                    Err(_) => line_break = Some(word.to_owned()),
                }
            }
            rest = after;
        }
        let writer = match name {
            "proxy" => Writer::Proxy(number.unwrap_or(1000)),
            "backend" => Writer::Backend(number.unwrap_or(1)),
            "systemd" => Writer::Systemd,
            "journald" => Writer::Journald,
            _ => return None,
        };
        for (i, at) in times.into_iter().enumerate() {
            let rest = &rest.replace("<i>", &i.to_string());
            match rest.strip_prefix(':') {
                Some(text) => {
                    self.last = Some((writer.clone(), at));
                    self.push(&writer, at, text.strip_prefix(' ').unwrap_or(text), line_break.clone());
                }
                None => {
                    let lines = block(rest.trim_start().strip_prefix('!')?)?;
                    let gap = if lines.len() > 1_000 { 1_000 } else { 100_000 };
                    for (i, text) in lines.iter().enumerate() {
                        let at = Time(at.0 + i as i64 * gap);
                        self.last = Some((writer.clone(), at));
                        self.push(&writer, at, text, None);
                    }
                }
            }
        }
        Some(())
    }

    fn push(&mut self, writer: &Writer, at: Time, text: &str, line_break: Option<String>) {
        let text = match writer {
            Writer::Backend(_) => backend_text(text, Time(at.0 + self.step * 1_000)),
            _ => short(text),
        };
        self.story.entries.push(Entry {
            writer: writer.clone(),
            at: Time(at.0 + self.step * 1_000),
            monotonic: (at.0 - self.booted_at.0) / 1_000,
            boot: self.boot,
            text,
            line_break,
        });
    }
}

/// Short names of the stories, and padding: `<pad 49152>`.
fn short(text: &str) -> String {
    let mut text = text
        .replace("<diag>", "INFO:crypto_proxy:[CRYPTO_AUTH_DIAG]")
        .replace("<cache>", "app.services.portfolio_cache:")
        .replace("<trade>", "app.services.brokers.crypto_com_trade:")
        .replace("<sync>", "app.services.exchange_sync:")
        .replace("<nul>", "\0")
        .replace("<esc>", "\u{1b}");
    while let Some(from) = text.find("<pad ") {
        let len = text[from..].find('>').unwrap();
        let count: usize = text[from + 5..from + len].parse().unwrap();
        text.replace_range(from..=from + len, &"x".repeat(count));
    }
    text
}

/// `ERROR app.x: …` as the backend's formatter writes it; anything else as it
/// stands. `=` before the text keeps it as it stands.
fn backend_text(text: &str, at: Time) -> String {
    let text = short(text);
    if let Some(bare) = text.strip_prefix('=') {
        return bare.to_owned();
    }
    let Some((level, rest)) = text.split_once(' ') else { return text };
    if ["INFO", "WARNING", "ERROR", "DEBUG"].contains(&level) && rest.starts_with("app.") {
        let stamp = at.to_rfc3339().replace('T', " ").replace('.', ",");
        return format!("{} [{level}] {rest}", stamp.trim_end_matches('Z'));
    }
    text
}

/// The lines of a `!` word.
fn block(words: &str) -> Option<Vec<String>> {
    let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
    let diag = |text: &str| format!("INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] {text}");
    let mut lines = Vec::new();
    match name {
        // !open METHOD: a request up to the exchange's answer.
        "open" => lines.extend(opening(rest)),
        // !request METHOD STATUS BODY…
        "request" => {
            let (method, rest) = rest.split_once(' ')?;
            let (status, body) = rest.split_once(' ').unwrap_or((rest, ""));
            lines.extend(opening(method));
            if status == "timeout" {
                lines.push("ERROR:crypto_proxy:Crypto.com API timeout".to_owned());
                lines.push(
                    "INFO:     198.51.100.7:40000 - \"POST /proxy/private HTTP/1.1\" 504 Gateway Timeout"
                        .into(),
                );
                return Some(lines);
            }
            if status == "error" {
                lines.push("ERROR:crypto_proxy:Crypto.com API error: [Errno -3] name resolution".to_owned());
                lines.push(
                    "INFO:     198.51.100.7:40000 - \"POST /proxy/private HTTP/1.1\" 502 Bad Gateway".into(),
                );
                return Some(lines);
            }
            lines.push(diag(&format!("response_status={status}")));
            lines.extend(body_lines(method, body)?);
            lines.push(diag("=== PROXY REQUEST END ==="));
            lines.push("INFO:     198.51.100.7:40000 - \"POST /proxy/private HTTP/1.1\" 200 OK".to_owned());
        }
        // !sync a 50743.40 | !sync b 1.00 2.00 | !sync lost
        "sync" => lines.extend(refresh(rest)?),
        _ => return None,
    }
    Some(lines)
}

fn opening(method: &str) -> Vec<String> {
    let [key, address, secret, signature, parameter] =
        [SECRETS[0], SECRETS[1], SECRETS[2], SECRETS[3], SECRETS[4]];
    let diag = [
        format!("CRYPTO_COM_OUTBOUND_IP: {address}"),
        "=== PROXY CREDENTIALS ===".to_owned(),
        format!("API_KEY repr: '{key}'"),
        "API_KEY length: 22".to_owned(),
        "API_KEY preview: FAKE....f6g7".to_owned(),
        "SECRET_KEY length: 28".to_owned(),
        format!("SECRET_KEY starts with: {secret}"),
        "SECRET_KEY has whitespace: False".to_owned(),
        "=== PROXY REQUEST START ===".to_owned(),
        format!("method={method}"),
        format!("params={{'client_oid': '{parameter}', 'code': 40101}}"),
        "server_time_utc=2026-03-14 09:00:00 UTC".to_owned(),
        "server_time_epoch=1773478800.123".to_owned(),
        "nonce=1773478840101 (type=int)".to_owned(),
        "request_id=1".to_owned(),
        "=== SIGNATURE GENERATION ===".to_owned(),
        "params_str_len=2, params_str_repr=''".to_owned(),
        "string_to_sign_length=80".to_owned(),
        format!("string_to_sign={method}1{key}client_oid{parameter}1773478840101"),
        format!("signature={signature}"),
        "============================".to_owned(),
    ];
    let mut lines: Vec<String> =
        diag.iter().map(|d| format!("INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] {d}")).collect();
    lines.push("INFO:crypto_proxy:[CRYPTO_AUTH_DEBUG] payload={".to_owned());
    for line in
        ["  \"id\": 1,", "  \"code\": 40101,", "  \"api_key\": \"FAK...6g7\",", "  \"sig\": \"dea...f\"", "}"]
    {
        lines.push(line.to_owned());
    }
    lines.push(format!("INFO:crypto_proxy:Proxying request: {method}"));
    lines.push(format!(
        "INFO:crypto_proxy:[CRYPTO_AUTH_DEBUG] endpoint_url=https://api.crypto.com/exchange/v1/{method}"
    ));
    lines
}

/// `40101`, `"40101"`, `null`, `none` (no code), `{…}`, `text:…`, `nothing`.
fn body_lines(method: &str, body: &str) -> Option<Vec<String>> {
    let original = format!("{{\\\"api_key\\\":\\\"{}\\\",\\\"sig\\\":\\\"{}\\\"}}", SECRETS[0], SECRETS[3]);
    let first = "INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] response_body=";
    let json = match body {
        "nothing" => return Some(Vec::new()),
        "{}" => return Some(vec![format!("{first}{{}}")]),
        _ if body.starts_with("big:") => {
            let count: usize = body[4..].parse().ok()?;
            let lines = "  \"x\": 40103,\n".repeat(count);
            format!("{{\n{lines}  \"code\": 40101\n}}")
        }
        "none" => "{\n  \"id\": -1,\n  \"result\": {\n    \"code\": 40101\n  }\n}".to_owned(),
        _ if body.starts_with("text:") => {
            let lines = body[5..].split("\\n").enumerate();
            let first = "INFO:crypto_proxy:[CRYPTO_AUTH_DIAG] response_body_text=";
            return Some(
                lines.map(|(i, l)| if i == 0 { format!("{first}{l}") } else { l.to_owned() }).collect(),
            );
        }
        _ if body.starts_with(['{', '[']) => {
            serde_json::to_string_pretty(&serde_json::from_str::<Value>(body).ok()?).ok()?
        }
        "0" => format!(
            "{{\n  \"id\": 1,\n  \"method\": \"{method}\",\n  \"code\": 0,\n  \"result\": {{\n    \"data\": [\n      \
             {{\n        \"order_id\": \"40101\",\n        \"code\": 40101,\n        \"reason\": 40103\n      }}\n    ]\n  }}\n}}"
        ),
        code => format!(
            "{{\n  \"id\": 1,\n  \"method\": \"{method}\",\n  \"code\": {code},\n  \"message\": \"Authentication failure\",\n  \
             \"original\": \"{original}\"\n}}"
        ),
    };
    let mut lines: Vec<String> = json.lines().map(str::to_owned).collect();
    lines[0] = format!("{first}{}", lines[0]);
    Some(lines)
}

fn refresh(words: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = words.split(' ').collect();
    let mut lines = vec![
        "INFO <cache> Starting portfolio cache update - fetching ALL data from Crypto.com...".to_owned(),
    ];
    let found = |lines: &mut Vec<String>, n: u32| {
        lines.push(format!("INFO <trade> Retrieved {n} account balances via proxy"));
        lines.push(format!("INFO <cache> Processing {n} account balances from Crypto.com..."));
    };
    match words.as_slice() {
        ["a", usd] => {
            found(&mut lines, 18);
            lines.push(format!("INFO <cache> Portfolio cache updated successfully. Total USD: ${usd}"));
            lines.push(format!("INFO <sync> ✅ Portfolio cache updated: ${usd}"));
        }
        ["b", usd, collateral] => {
            found(&mut lines, 18);
            lines.push(format!(
                "INFO <cache> Portfolio cache updated successfully. Raw assets: ${usd}, Collateral: ${collateral}"
            ));
        }
        // The later era: an error, then nothing but a success over $0.00.
        ["lost"] => {
            lines.push("ERROR <trade> Proxy returned status 502: {'detail': 'Bad Gateway'}".to_owned());
            lines.push("ERROR <trade> Unexpected proxy response for account summary: {}".to_owned());
            lines.push("INFO <cache> Processing 0 account balances from Crypto.com...".to_owned());
            lines.push("INFO <cache> Portfolio cache updated successfully. Total USD: $0.00".to_owned());
        }
        ["empty"] => {
            found(&mut lines, 0);
            lines.push("INFO <cache> Portfolio cache updated successfully. Total USD: $0.00".to_owned());
        }
        ["failed"] => lines.push(
            "ERROR <cache> Error updating portfolio cache: Crypto.com: account summary failed (no fallback)"
                .to_owned(),
        ),
        _ => return None,
    }
    Some(lines)
}
