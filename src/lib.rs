//! tocsin: a log-driven health monitor and alerter.
//!
//! The map of the house, floor by floor (imports go down only; `ARCHITECTURE.md`
//! tells why):
//!
//! | floor | rooms |
//! | --- | --- |
//! | 5 | [`cli`] |
//! | 4 | [`daemon`] |
//! | 3 | [`source`] [`transport`] [`store`] [`http`] [`clock`] [`load`] |
//! | 2 | [`engine`] [`decode`] [`notifier`] [`timeline`] |
//! | 1 | [`config`] |
//! | 0 | [`model`] |

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests wait against the machine's clock"))]

pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod decode;
pub mod engine;
pub mod http;
pub mod load;
pub mod model;
pub mod notifier;
pub mod source;
pub mod store;
pub mod timeline;
pub mod transport;
