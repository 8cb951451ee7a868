//! Faults that tests of the real binary ask for by an environment variable. A
//! release build has none of this: the variable means nothing to it.
//!
//! `TOCSIN_FAULT` is `panic-at TEXT` or `abort-at TEXT` (at a line that holds
//! the text, as it is handled) or `panic-in-delivery`.

#[cfg(debug_assertions)]
use std::sync::OnceLock;

/// A line is about to be handled.
pub fn at_line(text: &str) {
    #[cfg(debug_assertions)]
    if let Some((kind, of)) = asked().split_once(' ')
        && text.contains(of)
    {
        match kind {
            "panic-at" => panic!("asked for: {text}"),
            #[expect(clippy::disallowed_methods, reason = "what no hook sees, as a stack that overflows")]
            "abort-at" => std::process::abort(),
            _ => {}
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = text;
}

/// An attempt to deliver begins.
pub fn in_delivery() {
    #[cfg(debug_assertions)]
    assert!(asked() != "panic-in-delivery", "asked for");
}

#[cfg(debug_assertions)]
fn asked() -> &'static str {
    static ASKED: OnceLock<String> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "tests of the real binary have no other way in")]
    ASKED.get_or_init(|| std::env::var("TOCSIN_FAULT").unwrap_or_default())
}
