//! Tests against the real components: journald, dockerd, Prometheus, SMTP.
