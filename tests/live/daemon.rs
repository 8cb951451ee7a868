//! The daemon as a process: real doors in, real receivers out.

pub mod hook;
pub mod kit;
pub mod pack;
pub mod place;

mod absent;
mod alertmanager;
mod bounds;
mod cases;
mod catching_up;
mod containers;
mod disk;
mod files;
mod heartbeat;
mod incident;
mod orders;
mod poison;
mod secrets;
mod services;
mod starved;
mod times;
mod told;
mod trouble;
