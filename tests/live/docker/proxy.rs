//! Stands between a source and the engine, and does to what passes what bad
//! connections and sick engines do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::engine::Engine;

const REFUSAL: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\
    Content-Length: 18\r\nConnection: close\r\n\r\n{\"message\":\"sick\"}";

/// After so many cuts the streams are left alone.
pub const CUTS: u64 = 4;

/// What is done to what passes.
#[derive(Default)]
pub struct Fault {
    /// The first follow stream says no more.
    pub swallows_first: AtomicBool,
    /// Nothing is answered, on any connection.
    pub swallows: AtomicBool,
    /// A look for the place in a log waits until this is false.
    pub holds_looks: AtomicBool,
    /// Follow streams wait likewise.
    pub holds_follows: AtomicBool,
    /// Questions that wait.
    pub held: AtomicU64,
    /// Every question is answered with status 500.
    pub refuses: AtomicBool,
    /// So many bytes after the question, follow streams are cut off; 0: never.
    /// Grows with each cut.
    pub cut_after: AtomicU64,
    /// Follow streams end with what is there, in good order.
    pub closes: AtomicBool,
    /// Follow streams that were asked for.
    pub follows: AtomicU64,
    /// Follow streams that were cut.
    pub cuts: AtomicU64,
    followed: AtomicBool,
}

impl Fault {
    async fn hold(&self, holds: &AtomicBool) {
        if holds.load(Ordering::SeqCst) {
            self.held.fetch_add(1, Ordering::SeqCst);
        }
        while holds.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A socket in front of the engine's.
pub struct Proxy {
    /// As `host` of a source.
    pub host: String,
    /// What it does.
    pub fault: Arc<Fault>,
    task: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Proxy {
    /// One that passes everything on.
    pub fn before(engine: &Engine) -> Proxy {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proxy.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let fault = Arc::new(Fault::default());
        let (target, seen) = (engine.path().join("d.sock"), fault.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Without an engine the connection is dropped, as by a real proxy.
                if let Ok(server) = UnixStream::connect(&target).await {
                    tokio::spawn(pass(client, server, seen.clone()));
                }
            }
        });
        Proxy { host: format!("unix://{}", path.display()), fault, task, _dir: dir }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: UnixStream, mut server: UnixStream, fault: Arc<Fault>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let (mut is_first_follow, mut left) = (false, u64::MAX);
    loop {
        tokio::select! {
            Ok(count) = client.read(&mut asked) => {
                if count == 0 {
                    return;
                }
                if fault.refuses.load(Ordering::SeqCst) {
                    let _ = client.write_all(REFUSAL).await;
                    return;
                }
                let question = String::from_utf8_lossy(&asked[..count]).into_owned();
                if question.contains("tail=512") {
                    let is_follow = question.contains("follow=1");
                    fault.hold(if is_follow { &fault.holds_follows } else { &fault.holds_looks }).await;
                }
                let is_closed = fault.closes.load(Ordering::SeqCst);
                let passed = if is_closed { question.replace("follow=1", "follow=0") } else { question.clone() };
                if server.write_all(passed.as_bytes()).await.is_err() {
                    return;
                }
                if question.contains("follow=1") {
                    fault.follows.fetch_add(1, Ordering::SeqCst);
                    is_first_follow = !fault.followed.swap(true, Ordering::SeqCst);
                    left = match fault.cut_after.load(Ordering::SeqCst) {
                        0 => u64::MAX,
                        bytes => bytes,
                    };
                }
            }
            Ok(count) = server.read(&mut answered) => {
                let is_swallowed = fault.swallows.load(Ordering::SeqCst)
                    || (is_first_follow && fault.swallows_first.load(Ordering::SeqCst));
                if count == 0 {
                    return;
                }
                if is_swallowed {
                    continue;
                }
                let passed = left.min(count as u64);
                if client.write_all(&answered[..passed as usize]).await.is_err() {
                    return;
                }
                if left != u64::MAX {
                    left -= passed;
                }
                if left == 0 {
                    // Odd, so that it falls everywhere in headers, frames and pieces.
                    let is_last = fault.cuts.fetch_add(1, Ordering::SeqCst) + 1 >= CUTS;
                    fault.cut_after.store(if is_last { 0 } else { passed + 4_099 }, Ordering::SeqCst);
                    return;
                }
            }
            else => return,
        }
    }
}
