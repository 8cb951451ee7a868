//! Matchers over an alert's labels, as meant: what routes, inhibitions,
//! silences and maintenance choose alerts by.
//!
//! They mean what Alertmanager's mean: all of them must hold, a label that is
//! not there is empty, a regular expression covers the whole value. How they
//! are written is the business of [`crate::config::matcher`].

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;

use crate::model::Severity;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Like,
    /// `!~`
    Unlike,
}

impl Comparison {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
            Comparison::Like => "=~",
            Comparison::Unlike => "!~",
        }
    }
}

/// One condition on one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// How.
    pub comparison: Comparison,
    /// With what: a text, or the regular expression as written.
    pub value: String,
    /// The compiled expression, anchored at both ends.
    pub regex: Option<Regex>,
}

impl Matcher {
    /// Whether a label's value fits; of a label that is not there, `""`.
    pub fn fits(&self, value: &str) -> bool {
        let is_same = self.regex.as_ref().map_or(value == self.value, |regex| regex.is_match(value));
        is_same == matches!(self.comparison, Comparison::Equal | Comparison::Like)
    }
}

/// As Alertmanager writes it: `severity="critical"`.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let comparison = self.comparison.as_str();
        if !self.name.is_empty() && self.name.chars().all(is_plain) {
            write!(f, "{}{comparison}{}", self.name, quoted(&self.value))
        } else {
            write!(f, "{}{comparison}{}", quoted(&self.name), quoted(&self.value))
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Conditions that must all hold; none hold always.
#[derive(Clone, Debug, Default)]
pub struct Matchers(pub Vec<Matcher>);

impl Matchers {
    /// Whether an alert is meant.
    pub fn fit(&self, alert: Labelled<'_>) -> bool {
        self.0.iter().all(|matcher| matcher.fits(alert.value(&matcher.name)))
    }

    /// Alerts without any label would fit too.
    pub fn fit_nothing(&self) -> bool {
        self.0.iter().all(|matcher| matcher.fits(""))
    }

    /// Whatever fits `other` fits these, as far as the texts show it.
    pub fn are_wider_than(&self, other: &Matchers) -> bool {
        let there: Vec<String> = other.0.iter().map(Matcher::to_string).collect();
        self.0.iter().all(|matcher| there.contains(&matcher.to_string()))
    }
}

/// `{a="b",c="d"}`
impl fmt::Display for Matchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(Matcher::to_string).collect();
        write!(f, "{{{}}}", all.join(","))
    }
}

/// An alert as matchers see it.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// `alertname`.
    pub alert: &'a str,
    /// `severity`.
    pub severity: Severity,
    /// All other labels.
    pub labels: &'a BTreeMap<String, String>,
}

impl<'a> Labelled<'a> {
    /// A label's value; empty where there is none.
    pub fn value(&self, name: &str) -> &'a str {
        match name {
            "alertname" => self.alert,
            "severity" => self.severity.as_str(),
            _ => self.labels.get(name).map_or("", String::as_str),
        }
    }
}
