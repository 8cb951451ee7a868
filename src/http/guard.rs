//! Which requests are answered at all. Decides from headers alone.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, header};

/// What the window knows of itself.
pub(super) struct Guard {
    /// It listens on a loopback address.
    pub is_loopback: bool,
    /// Further names by which it may be asked for.
    pub hosts: Vec<String>,
}

impl Guard {
    /// Why a request is refused; `None` if it is not.
    pub fn refuses(&self, headers: &HeaderMap, method: &Method) -> Option<&'static str> {
        let host = headers.get(header::HOST).map(|h| h.to_str().unwrap_or(""));
        // Without the header it is no browser's request.
        if self.is_loopback && host.is_some_and(|host| !self.is_ours(host)) {
            return Some("This window answers only to local names such as 127.0.0.1 and localhost.\n");
        }
        if method != Method::GET && method != Method::HEAD {
            let origin = headers.get(header::ORIGIN).map(|o| o.to_str().unwrap_or(""));
            let is_foreign =
                origin.is_some_and(|origin| origin.split_once("://").map(|(_, authority)| authority) != host);
            if is_foreign {
                return Some("A page of another origin may not ask for this.\n");
            }
        }
        None
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = name_of(host);
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_local =
            name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
        is_local
            || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// A host without its port and brackets.
fn name_of(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or("", |(name, _)| name);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(host: &str) -> bool {
        let guard = Guard { is_loopback: true, hosts: vec!["tocsin.example".to_owned()] };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        guard.refuses(&headers, &Method::GET).is_some()
    }

    #[test]
    fn only_local_names_are_answered_on_loopback() {
        for host in [
            "127.0.0.1:9650",
            "127.0.0.1",
            "localhost:1",
            "LOCALHOST",
            "[::1]:9650",
            "127.9.9.9",
            "tocsin.example",
        ] {
            assert!(!refuses(host), "{host}");
        }
        for host in
            ["evil.example:9650", "127.0.0.1.evil.example", "10.0.0.1", "", "[::2]:1", "localhost.evil"]
        {
            assert!(refuses(host), "{host}");
        }
    }
}
