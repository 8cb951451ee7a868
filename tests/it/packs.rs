//! A second pack, for logs that have nothing to do with the first, made of
//! configuration only: the source knows nothing of either.

use crate::cases::{differences, replay};
use crate::scan::root;

#[test]
fn the_web_pack_finds_errors_guessing_failed_jobs_and_silence() {
    let folder = root().join("tests/packs/web");
    let expect = std::fs::read_to_string(folder.join("expect.json")).unwrap();
    let expect: serde_json::Value = serde_json::from_str(&expect).unwrap();
    let inputs = [("nginx", "nginx.log"), ("sshd", "sshd.export"), ("jobs", "jobs.docker")];
    let inputs = inputs.map(|(source, file)| (source, folder.join(file)));
    let config = root().join("config/examples/web/tocsin.toml");
    let (out, err) = replay(&config, &inputs, expect["until"].as_str(), "json");
    let faults = differences(&expect, &out, &err, 0.0);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
