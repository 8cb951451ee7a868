//! Tests against the real components: journald, dockerd, Prometheus, SMTP.

#![allow(clippy::disallowed_methods, reason = "tests wait against the machine's clock and start programs")]

mod support;
mod journal;
mod docker;
mod prometheus;
mod mail;
mod daemon;
mod cluster;
mod service;
mod storm;
mod shipped;
