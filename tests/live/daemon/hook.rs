//! A receiver of webhooks that remembers what it got and answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::kit::{rest, until_or};

/// What a receiver does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Status(u16),
    /// 200 after a while.
    Slow(Duration),
    /// None until it is told otherwise.
    Hang,
    /// A status with one more header line.
    With(u16, &'static str),
    /// A status with a text.
    Says(u16, &'static str),
    /// None: the connection is reset.
    Reset,
    /// 200 and the beginning of a body that never ends.
    HalfBody,
    /// 200 and a body of a gigabyte, as fast as it is read.
    Huge,
    /// None: the connection is closed.
    Cut,
    /// One of the others for each request, as [`flaky`] says.
    Flaky,
}

/// What a receiver in trouble does with its `number`th request: most are
/// taken, the others refused, left without an answer or cut.
fn flaky(number: usize) -> Answer {
    const TURNS: [Answer; 20] = [
        Answer::Status(200),
        Answer::Status(503),
        Answer::Slow(Duration::from_millis(40)),
        Answer::Reset,
        Answer::Status(200),
        Answer::Slow(Duration::from_millis(1_500)),
        Answer::Status(200),
        Answer::Slow(Duration::from_millis(10)),
        Answer::Cut,
        Answer::Status(200),
        Answer::Status(200),
        Answer::Status(429),
        Answer::Status(200),
        Answer::Slow(Duration::from_millis(90)),
        Answer::Status(500),
        Answer::Status(200),
        Answer::Status(200),
        Answer::Reset,
        Answer::Status(200),
        Answer::Status(200),
    ];
    TURNS[number % TURNS.len()]
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub at: Instant,
    /// Of its first line.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// What the receiver did with it.
    pub answer: Answer,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.0.eq_ignore_ascii_case(name)).map(|h| h.1.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Its group's alert name and its status, such as `SourceDown firing`; of
    /// what tells of several alerts, the status alone.
    pub fn what(&self) -> String {
        let json = self.json();
        let name = json["groupLabels"]["alertname"].as_str().unwrap_or_default();
        format!("{name} {}", json["status"].as_str().unwrap()).trim_start().to_owned()
    }
}

/// A receiver of webhooks on a port of its own.
pub struct Hook {
    address: SocketAddr,
    listener: TcpListener,
    seen: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<Answer>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hook {
    pub fn new() -> Hook {
        Hook::on(0)
    }

    /// On this port.
    pub fn on(port: u16) -> Hook {
        Hook::at(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// On this address.
    pub fn at(address: SocketAddr) -> Hook {
        let listener = TcpListener::bind(address).unwrap();
        let mut hook = Hook {
            address: listener.local_addr().unwrap(),
            listener: listener.try_clone().unwrap(),
            seen: Arc::default(),
            answer: Arc::new(Mutex::new(Answer::Status(200))),
            stop: Arc::default(),
            thread: None,
        };
        let (seen, answer, stop) = (hook.seen.clone(), hook.answer.clone(), hook.stop.clone());
        hook.thread = Some(std::thread::spawn(move || {
            let mut each = Vec::new();
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                let (seen, answer, stop) = (seen.clone(), answer.clone(), stop.clone());
                each.push(std::thread::spawn(move || serve(stream, &seen, &answer, &stop)));
            }
            each.into_iter().for_each(|t| drop(t.join()));
        }));
        hook
    }

    /// The table of a receiver that sends here, with more keys.
    pub fn receiver(&self, name: &str, more: &str) -> String {
        format!("[[receiver]]\nname = \"{name}\"\ntype = \"webhook\"\nurl = \"{}\"\n{more}\n", self.url())
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Every body it got.
    pub fn bodies(&self) -> Vec<(String, Vec<u8>)> {
        self.seen().into_iter().map(|r| ("a notification".to_owned(), r.body.into_bytes())).collect()
    }

    /// Those of one alert.
    pub fn of(&self, alert: &str) -> Vec<Request> {
        let mut all = self.seen();
        all.retain(|r| r.json()["groupLabels"]["alertname"] == alert);
        all
    }

    /// Waits for the first request of these words (as [`Request::what`]).
    #[track_caller]
    pub fn until(&self, what: &str) -> Request {
        self.until_nth(what, 1)
    }

    /// Waits for the `n`th such request.
    #[track_caller]
    pub fn until_nth(&self, what: &str, n: usize) -> Request {
        let mut found = None;
        let said = || {
            format!(
                "{what} ({n}) at the receiver, which got {:?}",
                self.seen().iter().map(Request::what).collect::<Vec<_>>()
            )
        };
        until_or(said, &mut || {
            found = self.seen().into_iter().filter(|r| r.what() == what).nth(n - 1);
            found.is_some()
        });
        found.unwrap()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Ends the waiting in `accept`, from whatever network this is dropped in.
        // SAFETY: the descriptor is ours and open.
        unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RDWR) };
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads one request, remembers it and answers. A client that goes away is
/// no error: daemons are killed here.
fn serve(
    stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    answer: &Mutex<Answer>,
    stop: &AtomicBool,
) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    // A GET has none.
    let length = headers.iter().find(|h| h.0.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(Some(0), |h| h.1.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let at = Instant::now();
    let body = String::from_utf8(body).unwrap();
    let asked = *answer.lock().unwrap();
    let what = {
        let mut seen = seen.lock().unwrap();
        let what = if asked == Answer::Flaky { flaky(seen.len()) } else { asked };
        seen.push(Request { at, path, headers, body, answer: what });
        what
    };
    reply(stream, what, &mut || stop.load(Ordering::Relaxed) || *answer.lock().unwrap() != asked)
}

fn reply(mut stream: TcpStream, what: Answer, is_over: &mut dyn FnMut() -> bool) -> Option<()> {
    let head = |status: u16, more: &str| format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{more}\r\n");
    let status = match what {
        Answer::Status(status) => head(status, "Content-Length: 0\r\n"),
        Answer::With(status, more) => head(status, &format!("{more}\r\nContent-Length: 0\r\n")),
        Answer::Says(status, text) => head(status, &format!("Content-Length: {}\r\n", text.len())) + text,
        Answer::Slow(span) => {
            rest(span);
            head(200, "Content-Length: 0\r\n")
        }
        Answer::Hang => {
            while !is_over() {
                std::thread::sleep(Duration::from_millis(5));
            }
            return None;
        }
        Answer::Reset => {
            let linger = libc::linger { l_onoff: 1, l_linger: 0 };
            let size = size_of_val(&linger) as u32;
            // SAFETY: the option's own type and size, on a socket of ours.
            let set = unsafe {
                libc::setsockopt(
                    stream.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_LINGER,
                    (&raw const linger).cast(),
                    size,
                )
            };
            assert_eq!(set, 0);
            return None;
        }
        Answer::HalfBody => {
            write!(stream, "{}one", head(200, "Content-Length: 10\r\n")).ok()?;
            // Until the client has had enough.
            while !is_over() && !matches!(stream.read(&mut [0; 8]), Ok(0)) {}
            return None;
        }
        Answer::Huge => {
            write!(stream, "{}", head(200, "Content-Length: 1000000000\r\n")).ok()?;
            while !is_over() {
                stream.write_all(&[b'x'; 65_536]).ok()?;
            }
            return None;
        }
        Answer::Cut | Answer::Flaky => return None,
    };
    write!(stream, "{status}").ok()
}
