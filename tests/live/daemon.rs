//! The daemon as a process: real doors in, real receivers out.

pub mod hook;
pub mod kit;
pub mod pack;

mod absent;
mod cases;
mod catching_up;
mod containers;
mod files;
mod incident;
mod kills;
mod times;
mod told;
mod trouble;
