//! The daemon's own log: the journal when it runs under systemd, else standard
//! error, where each line begins with its time.
//!
//! The one way out for what is logged, so every text passes the redactor here:
//! errors of libraries carry addresses, paths and what a server said.

use std::io::Write as _;

use log::{Log, Metadata, Record};

use crate::clock;
use crate::config::redact::Redactor;

/// Starts it, for messages of this level and above. A second start in one
/// process (a test) keeps the first.
pub fn start(level: log::LevelFilter) {
    let journal = systemd_journal_logger::connected_to_journal()
        .then(systemd_journal_logger::JournalLog::new)
        .and_then(Result::ok);
    let (inner, level): (Box<dyn Log>, _) = match journal {
        Some(journal) => (Box::new(journal), level),
        None => {
            let logger = standard_error(level);
            let level = logger.filter();
            (Box::new(logger), level)
        }
    };
    if log::set_boxed_logger(Box::new(Redacted { inner, redactor: Redactor::default() })).is_ok() {
        log::set_max_level(level);
    }
}

fn standard_error(level: log::LevelFilter) -> env_logger::Logger {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(log::LevelFilter::Warn).filter_module("tocsin", level);
    builder.format(|out, record| {
        let (level, style) = (record.level(), out.default_level_style(record.level()));
        writeln!(out, "{} {style}{level:<5}{style:#} {}", clock::wall().to_rfc3339(), record.args())
    });
    builder.build()
}

/// Hands on every record with its text redacted.
struct Redacted<L> {
    inner: L,
    redactor: Redactor,
}

impl<L: Log> Log for Redacted<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = self.redactor.redact_lines(&record.args().to_string());
        self.inner.log(
            &Record::builder()
                .metadata(record.metadata().clone())
                .module_path(record.module_path())
                .file(record.file())
                .line(record.line())
                .args(format_args!("{text}"))
                .build(),
        );
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Kept(Arc<Mutex<Vec<String>>>);

    impl Log for Kept {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.level() <= log::Level::Debug
        }

        fn log(&self, record: &Record<'_>) {
            self.0.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        }

        fn flush(&self) {}
    }

    #[test]
    fn a_record_is_logged_at_its_level_without_its_secrets() {
        let kept = Arc::default();
        let log = Redacted { inner: Kept(Arc::clone(&kept)), redactor: Redactor::default() };
        let say = |level, text: &str| {
            log.log(&Record::builder().level(level).args(format_args!("{text}")).build());
        };
        say(log::Level::Debug, "token=hunter22\nnext line of https://u:pa55@db.example/x");
        say(log::Level::Trace, "not asked for");
        let expected = "DEBUG token=[redacted]\nnext line of https://[redacted]@db.example/x";
        assert_eq!(*kept.lock().unwrap(), [expected]);
    }
}
