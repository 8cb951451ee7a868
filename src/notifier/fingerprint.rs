//! Alertmanager's fingerprint of a label set.
//!
//! The algorithm is that of Prometheus' `common/model` (`LabelsToSignature`):
//! FNV-1a over 64 bits of every name and value in the order of the names, each
//! followed by the byte 0xff, which no valid UTF-8 holds.

use std::collections::BTreeMap;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;
const SEPARATOR: u8 = 0xff;

/// 16 hexadecimal digits. The caller leaves out `severity`, so that an
/// escalation keeps the fingerprint.
pub fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let mut hash = OFFSET;
    for (name, value) in labels {
        hash = add(hash, name);
        hash = add(hash, value);
    }
    format!("{hash:016x}")
}

fn add(hash: u64, text: &str) -> u64 {
    text.bytes().chain([SEPARATOR]).fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_set_is_the_offset_of_fnv() {
        assert_eq!(fingerprint(&BTreeMap::new()), "cbf29ce484222325");
    }
}
