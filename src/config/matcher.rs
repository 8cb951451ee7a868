//! Matchers as people write them, in Alertmanager's syntax:
//! `severity="critical"`, `method=~"private/.*"`, `{a!="b", "an odd name"!~x}`.
//!
//! The grammar is that of Alertmanager's UTF-8 matchers (its documentation,
//! "Label matchers"): names and values stand bare or in double quotes with
//! Go's escapes; bare ones hold no white space and none of ``{}!=~,\"'` ``.
//! Silences come here too, at run time, so sizes are bounded.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

use super::plan::{Comparison, Matcher, Matchers};
use super::problem::{Report, Spot, printable};
use super::reader::Table;

/// Matchers of one list.
const MATCHERS_MAX: usize = 64;
/// A matcher's name or value, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;
/// Size of a compiled expression.
const REGEX_BYTES_MAX: usize = 1 << 20;
const EXAMPLE: &str = "expected name=\"value\", or !=, =~, !~: severity=\"critical\"";

/// What is wrong with a text of matchers, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    /// One line for a person.
    pub message: String,
    /// Bytes of the text.
    pub at: Range<usize>,
}

/// Reads a text of one or several matchers.
///
/// # Errors
/// The first mistake.
pub fn parse(text: &str) -> Result<Matchers, Mistake> {
    let mut reader = Reader { text, at: 0 };
    let mut out = Vec::new();
    let is_braced = reader.take("{");
    loop {
        if reader.is_over() || (is_braced && reader.rest().starts_with('}')) {
            break;
        }
        if out.len() == MATCHERS_MAX {
            return Err(reader.mistake(format!("more than {MATCHERS_MAX} matchers"), reader.at..text.len()));
        }
        out.push(one(&mut reader)?);
        if !reader.take(",") {
            break;
        }
    }
    if is_braced && !reader.take("}") {
        return Err(reader.mistake("\"{\" without \"}\"", 0..1));
    }
    if !reader.is_over() {
        return Err(reader.mistake("this is no matcher", reader.at..text.len()));
    }
    Ok(Matchers(out))
}

/// A matcher of these parts as text that [`parse`] reads.
pub fn written(name: &str, value: &str, is_regex: bool, is_equal: bool) -> String {
    let comparison = match (is_regex, is_equal) {
        (false, true) => Comparison::Equal,
        (false, false) => Comparison::NotEqual,
        (true, true) => Comparison::Like,
        (true, false) => Comparison::Unlike,
    };
    Matcher { name: name.to_owned(), comparison, value: value.to_owned(), regex: None }.to_string()
}

fn one(reader: &mut Reader<'_>) -> Result<Matcher, Mistake> {
    let start = reader.at;
    let name = reader.word("a label's name")?;
    let comparison = [
        ("=~", Comparison::Like),
        ("!~", Comparison::Unlike),
        ("!=", Comparison::NotEqual),
        ("=", Comparison::Equal),
    ];
    let Some((_, comparison)) = comparison.into_iter().find(|(sign, _)| reader.take(sign)) else {
        return Err(reader.mistake("no =, !=, =~ or !~ after the label's name", start..reader.at));
    };
    reader.skip_space();
    let from = reader.at;
    let value = if reader.rest().starts_with([',', '}']) || reader.is_over() {
        String::new()
    } else {
        reader.word("a value")?
    };
    if name.is_empty() {
        return Err(reader.mistake("a matcher without a label's name", start..from));
    }
    let regex = match comparison {
        Comparison::Equal | Comparison::NotEqual => None,
        Comparison::Like | Comparison::Unlike => Some(anchored(&value).map_err(|why| {
            let why = format!("\"{}\" is no regular expression: {why}", printable(&value));
            reader.mistake(why, from..reader.at)
        })?),
    };
    Ok(Matcher { name, comparison, value, regex })
}

/// Covers the whole value, as Alertmanager's does.
fn anchored(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
        other => {
            other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    })
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn is_over(&mut self) -> bool {
        self.skip_space();
        self.rest().is_empty()
    }

    fn take(&mut self, sign: &str) -> bool {
        self.skip_space();
        let is_there = self.rest().starts_with(sign);
        self.at += if is_there { sign.len() } else { 0 };
        is_there
    }

    fn mistake(&self, message: impl Into<String>, at: Range<usize>) -> Mistake {
        Mistake { message: message.into(), at: at.start..at.end.max(at.start) }
    }

    /// A name or value, bare or in quotes.
    fn word(&mut self, what: &str) -> Result<String, Mistake> {
        self.skip_space();
        let start = self.at;
        let word = if self.rest().starts_with('"') {
            self.quoted()?
        } else {
            let is_reserved = |c: char| c.is_whitespace() || "{}!=~,\\\"'`".contains(c);
            let length = self.rest().find(is_reserved).unwrap_or(self.rest().len());
            if length == 0 {
                let end = start + self.rest().chars().next().map_or(0, char::len_utf8);
                return Err(self.mistake(format!("{what} was expected here"), start..end));
            }
            self.at += length;
            self.text[start..self.at].to_owned()
        };
        if word.len() > TEXT_BYTES_MAX {
            return Err(self.mistake(format!("longer than {TEXT_BYTES_MAX} bytes"), start..self.at));
        }
        Ok(word)
    }

    fn quoted(&mut self) -> Result<String, Mistake> {
        let start = self.at;
        let mut out = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(out);
                }
                '\\' => {
                    let escape = chars.next().map(|(_, c)| c);
                    let digits = match escape {
                        Some('x') => 2,
                        Some('u') => 4,
                        Some('U') => 8,
                        _ => 0,
                    };
                    let code: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                    let is_whole = code.len() == digits;
                    let c = match escape {
                        Some(c @ ('"' | '\\' | '\'')) => Some(c),
                        Some('n') => Some('\n'),
                        Some('t') => Some('\t'),
                        Some('r') => Some('\r'),
                        _ if digits > 0 && is_whole => {
                            u32::from_str_radix(&code, 16).ok().and_then(char::from_u32)
                        }
                        _ => None,
                    };
                    let at = start + at;
                    out.push(c.ok_or_else(|| self.mistake("this escape is not known", at..at + 2))?);
                }
                c => out.push(c),
            }
        }
        Err(self.mistake("a quote that does not end", start..start + 1))
    }
}

/// Matchers under a key: a text, or a list of texts, each of one or more.
pub(super) fn read(table: &Table<'_>, key: &'static str) -> Matchers {
    let mut all = Matchers::default();
    for text in table.texts(key) {
        if let Some(Matchers(found)) = checked(table.report, &text) {
            all.0.extend(found);
        }
    }
    all
}

/// The same where at least one is needed that asks for something.
pub(super) fn need(table: &Table<'_>, key: &'static str) -> Matchers {
    if table.get(key).is_none() {
        table.missing(key, "expected at least one matcher: [\"severity=critical\"]");
        return Matchers::default();
    }
    let before = table.report.errors();
    let all = read(table, key);
    if all.fit_nothing() && table.report.errors() == before {
        table.report.error(
            &table.key_at(key),
            format!("\"{key}\" would fit every alert"),
            "expected at least one matcher that asks for a value",
        );
    }
    all
}

fn checked(report: &Report, text: &Spot<&str>) -> Option<Matchers> {
    let found = parse(text.value);
    found
        .map_err(|mistake| {
            let at = report.within(&text.at, text.value, mistake.at);
            report.error(&at, mistake.message, EXAMPLE);
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        parse(text).map_or_else(|m| format!("{}: {}", m.at.start, m.message), |m| m.to_string())
    }

    #[test]
    fn matchers_are_read_as_alertmanager_reads_them() {
        for (text, read) in [
            ("severity=critical", "{severity=\"critical\"}"),
            (" { a = \"b\" , c=~ d.*, } ", "{a=\"b\",c=~\"d.*\"}"),
            ("a!=b,c!~\"d|e\"", "{a!=\"b\",c!~\"d|e\"}"),
            ("\"größe in cm\"=\"ü \\\"x\\\" \\u00e4\"", "{\"größe in cm\"=\"ü \\\"x\\\" ä\"}"),
            ("größe=1", "{\"größe\"=\"1\"}"),
            ("a=", "{a=\"\"}"),
            ("", "{}"),
            ("{}", "{}"),
        ] {
            assert_eq!(shown(text), read, "{text}");
            assert_eq!(shown(read), read, "what is written can be read");
        }
    }

    #[test]
    fn what_is_no_matcher_is_said_with_its_place() {
        for (text, said) in [
            ("severity", "0: no =, !=, =~ or !~"),
            ("a=b c=d", "4: this is no matcher"),
            ("=b", "0: a label's name was expected"),
            ("\"\"=b", "0: a matcher without a label's name"),
            ("a=~\"(\"", "3: \"(\" is no regular expression"),
            ("a=~\"(a{1000}){1000}\"", "3: \"(a{1000}){1000}\" is no regular expression: it is too large"),
            ("a=\"b", "2: a quote that does not end"),
            ("a=\"\\q\"", "3: this escape is not known"),
            ("{a=b", "0: \"{\" without"),
            ("a=b}", "3: this is no matcher"),
            ("a==b", "2: a value was expected"),
        ] {
            assert!(shown(text).starts_with(said), "{text}: {}", shown(text));
        }
    }

    #[test]
    fn a_regular_expression_covers_the_whole_value_and_a_missing_label_is_empty() {
        let fits = |text: &str, value: &str| parse(text).unwrap().0[0].fits(value);
        assert!(fits("a=~b|cd", "cd") && !fits("a=~b|cd", "bd") && !fits("a=~b", "abc"));
        assert!(fits("a!~b.*", "ab") && !fits("a!~b.*", "bcd"));
        assert!(fits("a=\"\"", "") && fits("a!=x", "") && !fits("a=~.+", ""));
    }
}
