//! Reads one container: from its mark to its end, and on while it runs.
//!
//! Responsible for one container's order of items and for noticing that a log
//! goes on while its stream does not. It must not decide what the source says
//! of itself; that is [`super::watch`]'s.
//!
//! Failure story: dockerd's follow stream can hang for ever after a rotation or
//! a truncation, with the connection up and well. So a stream that was silent
//! for half a minute ([`SILENCE`]) is compared with the last line of the log,
//! asked for anew; if that is newer, reading begins again at the mark. A stream that ends while
//! the container runs is asked for again alike; a connection that breaks ends
//! the follower, and the watcher looks what became of the engine.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

use crate::model::{Gap, Line, Time};

use super::client::{Client, LogQuery, Traits, Trouble};
use super::cursor::{Mark, Resume, Sight};
use super::frames::{Decoder, Frame, PIECE_BYTES};
use super::lines::{Joined, Joiner, lane};
use super::repeats::Repeats;
use super::scope::now;

/// A follow stream silent for so long is checked.
pub const SILENCE: Duration = Duration::from_secs(30);
/// A stream that is not at its end and says nothing for so long is.
const SILENCE_BEHIND: Duration = Duration::from_secs(10);
/// What a stream that seems to hang is given to speak after all.
const GRACE: Duration = Duration::from_secs(1);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a follower tells, in order.
#[derive(Debug)]
pub enum Item {
    /// A line that was not taken before.
    Line(Line),
    /// An output has a half-joined line.
    Opened(usize),
    /// That line is whole, and was taken before.
    Passed(usize),
    /// Half-joined lines were dropped, to be read again.
    Forgotten,
    /// The anchor is gone, but nothing with it.
    Rebased,
    /// Lines may be lost.
    Gap(Gap),
    /// Read to the present end.
    AtEnd,
    /// Nothing follows.
    End(Ending),
}

impl Item {
    /// Moves the mark past this item. Follower and watcher both do so, each
    /// when the item is past it.
    pub fn apply(&self, mark: &mut Mark) {
        match self {
            Item::Line(line) => mark.take(lane(line.stream.channel), line.at),
            Item::Opened(lane) => mark.opened(*lane),
            Item::Passed(lane) => mark.passed(*lane),
            Item::Forgotten => mark.forget_open(),
            Item::Rebased | Item::Gap(_) => mark.rebase(),
            Item::AtEnd | Item::End(_) => {}
        }
    }
}

/// Why a follower ended.
#[derive(Debug)]
pub enum Ending {
    /// The container does not run and its log was read to the end.
    Ended,
    /// The container does not exist any more.
    Gone,
    /// Its log cannot be read; the driver's name.
    Unreadable(String),
    /// The engine did not answer or broke off; a text for a person.
    Broken(String),
}

/// One container to read.
pub struct Follower {
    /// The engine.
    pub client: Client,
    /// Full id.
    pub id: String,
    /// Where to go on.
    pub mark: Mark,
    /// Limit of a line.
    pub line_bytes_max: usize,
    /// A follow stream silent for so long is checked; [`SILENCE`].
    pub silence: Duration,
    /// False: read what is there, once.
    pub follow: bool,
    /// Takes the items; bounded.
    pub outbox: Sender<Vec<Item>>,
    /// Told after each send.
    pub wake: Arc<Notify>,
}

/// How a stream ended.
enum Stream {
    Closed { bytes: u64 },
    Hung,
    Damaged,
}

/// Nobody listens to the follower any more.
struct Unheard;

enum Stop {
    Trouble(Trouble),
    Unheard,
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Stop {
        Stop::Trouble(trouble)
    }
}

impl From<Unheard> for Stop {
    fn from(_: Unheard) -> Stop {
        Stop::Unheard
    }
}

/// What one stream carries along.
struct Sitting {
    decoder: Decoder,
    joiner: Joiner,
    resume: Resume,
    /// `None` for a driver that repeats nothing.
    repeats: Option<Repeats>,
    newest: Option<Time>,
    last_at: Time,
    is_at_end: bool,
    is_damaged: bool,
}

impl Follower {
    /// Reads until there is no more or something breaks; the last item says which.
    pub async fn run(mut self) {
        let mut driver = String::new();
        let ending = match self.read(&mut driver).await {
            Ok(()) => Ending::Ended,
            Err(Stop::Unheard) => return,
            Err(Stop::Trouble(Trouble::Gone)) => Ending::Gone,
            Err(Stop::Trouble(Trouble::Unreadable)) => Ending::Unreadable(driver),
            Err(Stop::Trouble(trouble)) => Ending::Broken(trouble.to_string()),
        };
        // A closed channel is a watcher that has gone: nobody to tell.
        let _ = self.send(vec![Item::End(ending)]).await;
    }

    async fn read(&mut self, driver: &mut String) -> Result<(), Stop> {
        let mut pause = PAUSE_MIN;
        let mut is_first = true;
        let mut tail = None;
        loop {
            // In this order: once it does not run, what is newest is final.
            let traits = self.client.inspect(&self.id).await?;
            driver.clone_from(&traits.driver);
            let newest = self.newest(&traits).await?;
            if newest.is_none() && self.mark.expects_a_line() {
                self.send(vec![gap("the container's log was emptied")]).await?;
            }
            let is_past = self.is_past(newest);
            if is_past {
                self.send(vec![Item::AtEnd]).await?;
            }
            // The stamp of the last line says little after a backward step of
            // the clock, so the log itself is looked at once in any case.
            let has_more = !is_past || (is_first && newest.is_some());
            let is_final = !(traits.is_running && self.follow);
            if !has_more && is_final {
                return Ok(());
            }
            let query = LogQuery { since: self.mark.since(), follow: self.follow, tail };
            match self.stream(&traits, query, newest).await? {
                Stream::Closed { bytes: 0 } if !is_first => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Stream::Closed { .. } => pause = PAUSE_MIN,
                Stream::Hung => {
                    log::info!("a container's log goes on but its stream does not: asked again")
                }
                Stream::Damaged => {
                    self.send(vec![gap("dockerd cannot read the container's log: it is damaged")]).await?;
                    // Any question for older lines meets the damage again.
                    tail = Some(0);
                }
            }
            if is_final {
                return Ok(());
            }
            is_first = false;
        }
    }

    /// Everything up to the log's last line was taken, or was never wanted.
    fn is_past(&self, newest: Option<Time>) -> bool {
        newest.is_none_or(|at| at <= self.mark.high() || at < self.mark.since())
    }

    /// A damaged end tells nothing of the newest line: what comes, comes.
    async fn newest(&self, traits: &Traits) -> Result<Option<Time>, Trouble> {
        match self.client.newest(&self.id, traits.is_tty).await {
            Err(Trouble::Damaged) => Ok(Some(self.mark.high())),
            other => other,
        }
    }

    async fn stream(
        &mut self,
        traits: &Traits,
        query: LogQuery,
        newest: Option<Time>,
    ) -> Result<Stream, Stop> {
        let mut answer = self.client.log(&self.id, query).await?;
        let writer: Arc<str> = self.id.chars().take(12).collect::<String>().into();
        let stamps_differ = traits.driver == "journald";
        let mut sitting = Sitting {
            // One byte more than a line may have, so that a cut is known.
            decoder: Decoder::new(traits.is_tty, self.line_bytes_max.saturating_add(1)),
            joiner: Joiner::new(writer, self.line_bytes_max, traits.is_tty, stamps_differ),
            resume: Resume::new(&self.mark),
            repeats: (!stamps_differ).then(Repeats::default),
            newest,
            last_at: self.mark.high(),
            is_at_end: self.is_past(newest),
            is_damaged: false,
        };
        let mut bytes_read = 0u64;
        let mut frames = Vec::new();
        loop {
            let patience = if sitting.is_at_end { self.silence } else { SILENCE_BEHIND };
            match tokio::time::timeout(patience, answer.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    bytes_read += bytes.len() as u64;
                    sitting.decoder.feed(&bytes, &mut frames);
                    self.take(&mut sitting, &mut frames).await?;
                }
                Ok(Ok(None)) => {
                    sitting.decoder.finish(&mut frames);
                    self.take(&mut sitting, &mut frames).await?;
                    self.close(&mut sitting).await?;
                    return Ok(if sitting.is_damaged {
                        Stream::Damaged
                    } else {
                        Stream::Closed { bytes: bytes_read }
                    });
                }
                Ok(Err(_)) => return Err(self.broken().into()),
                Err(_) => {
                    if !sitting.is_at_end {
                        sitting.is_at_end = true;
                        self.send(vec![Item::AtEnd]).await?;
                    }
                    if self.is_hung(&sitting, traits).await? {
                        match tokio::time::timeout(GRACE, answer.chunk()).await {
                            Ok(Ok(Some(bytes))) => sitting.decoder.feed(&bytes, &mut frames),
                            _ => {
                                self.send(vec![Item::Forgotten]).await?;
                                return Ok(Stream::Hung);
                            }
                        }
                        self.take(&mut sitting, &mut frames).await?;
                    }
                }
            }
            if sitting.is_damaged {
                self.send(vec![Item::Forgotten]).await?;
                return Ok(Stream::Damaged);
            }
        }
    }

    async fn is_hung(&self, sitting: &Sitting, traits: &Traits) -> Result<bool, Trouble> {
        let newest = self.newest(traits).await?;
        Ok(newest.is_some_and(|at| at > sitting.last_at.max(self.mark.high())))
    }

    fn broken(&self) -> Trouble {
        Trouble::Unreachable("the connection to the Docker engine broke off: is dockerd running?".to_owned())
    }

    /// Joins pieces, passes over what was taken, sends the rest.
    async fn take(&mut self, sitting: &mut Sitting, frames: &mut Vec<Frame>) -> Result<(), Unheard> {
        let mut items = Vec::new();
        let mut joined = Vec::new();
        for frame in frames.drain(..) {
            let Frame::Piece(piece) = frame else {
                sitting.is_damaged = true;
                continue;
            };
            sitting.last_at = sitting.last_at.max(piece.at);
            match sitting.resume.sight(piece.at) {
                Sight::Expected => {}
                Sight::Rebased => items.push(Item::Rebased),
                Sight::Gap => items.push(gap("lines were rotated away before they were read")),
            }
            sitting.joiner.push(piece, &mut joined);
            sitting.pick(&mut joined, &mut items);
        }
        if !sitting.is_at_end && sitting.newest.is_none_or(|newest| sitting.last_at >= newest) {
            sitting.is_at_end = true;
            items.push(Item::AtEnd);
        }
        self.send(items).await
    }

    /// The stream ended by itself: of a container that has ended, what is half
    /// is whole; of one that runs, it is read again.
    async fn close(&mut self, sitting: &mut Sitting) -> Result<(), Stop> {
        let mut items = Vec::new();
        if self.follow && self.client.inspect(&self.id).await?.is_running {
            items.push(Item::Forgotten);
        } else {
            let mut joined = Vec::new();
            sitting.joiner.flush(&mut joined);
            sitting.pick(&mut joined, &mut items);
        }
        Ok(self.send(items).await?)
    }

    async fn send(&mut self, items: Vec<Item>) -> Result<(), Unheard> {
        if items.is_empty() {
            return Ok(());
        }
        for item in &items {
            item.apply(&mut self.mark);
        }
        let sent = self.outbox.send(items).await;
        self.wake.notify_one();
        sent.map_err(|_| Unheard)
    }
}

impl Sitting {
    /// Of what was joined, what is new.
    fn pick(&mut self, joined: &mut Vec<Joined>, items: &mut Vec<Item>) {
        items.extend(joined.drain(..).filter_map(|joined| match joined {
            Joined::Opened(channel) => Some(Item::Opened(lane(channel))),
            Joined::Line(line) => {
                let lane = lane(line.stream.channel);
                let is_repeat = self.repeats.as_mut().is_some_and(|r| r.has_seen(&line));
                if !is_repeat && !self.resume.was_taken(lane, line.at) {
                    return Some(Item::Line(line));
                }
                let was_opened = line.is_cut || line.text.len() >= PIECE_BYTES;
                was_opened.then_some(Item::Passed(lane))
            }
        }));
    }
}

fn gap(why: &str) -> Item {
    Item::Gap(Gap { at: now(), boot: None, lines: None, why: why.to_owned() })
}
