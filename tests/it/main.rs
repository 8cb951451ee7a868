//! The fast tests, in reading order.

#![allow(clippy::disallowed_methods, reason = "tests wait against the machine's clock and start programs")]

mod scan;
mod floors;
mod tidy;
mod licences;
mod shipped;
mod decode;
mod config;
mod program;
mod story;
mod dumps;
mod bench;
mod cases;
mod replays;
mod detectors;
mod simulation;
mod bounds;
mod routing;
mod packs;
mod store;
mod notifier;
mod redaction;
mod file;
mod http;
mod bad_input;
mod readme;
mod promises;
mod docs;
mod service;
mod wall;
