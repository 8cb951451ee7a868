//! Reads one container: from its mark to its end, and on while it runs.
//!
//! Responsible for one container's order of items and for noticing that a log
//! goes on while its stream does not. It must not decide what the source says
//! of itself; that is [`super::watch`]'s.
//!
//! Failure story:
//!
//! - dockerd's follow stream can hang for ever after a rotation or a truncation,
//!   with the connection up and well. So a stream that was silent for half a
//!   minute ([`SILENCE`]) is compared with the last piece of the log, asked for
//!   anew; if that is another, reading begins again at the mark.
//! - An answer to `since` may withhold lines and say nothing: those after a
//!   damaged entry, and those stamped after a backward step of the clock. So the
//!   log's last piece is asked for first and has to come before any later one;
//!   if it does not, nothing more is taken and the place is sought from the
//!   log's end ([`super::search`]).
//! - A stream that ends while the container runs is asked for again; a
//!   connection that breaks ends the follower, and the watcher looks what became
//!   of the engine. So does a log of which nothing can be read.

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
use super::search::{Found, Search};

/// A follow stream silent for so long is checked.
pub const SILENCE: Duration = Duration::from_secs(30);
/// A stream that is not at its end and says nothing for so long is.
const SILENCE_BEHIND: Duration = Duration::from_secs(10);
/// What a stream that seems to hang is given to speak after all.
const GRACE: Duration = Duration::from_secs(1);
/// Searches in a row; a log that is rotated as fast as it is read has no place.
const SEARCHES_MAX: u32 = 3;
/// What was found among so many pieces and does not come in so many times more
/// was moved out of the tail by what was appended since.
const SLACK: u32 = 2;
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
    /// Whatever comes is new.
    Anew,
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
            Item::Anew => *mark = Mark::from(Time(0)),
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
    Closed {
        /// Nothing in it was new.
        is_stale: bool,
    },
    Hung,
    Damaged,
    /// It does not hold what it should.
    Elsewhere,
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Empty,
    At(Time),
    /// It is damaged there.
    Unknown,
}

/// What is asked, and how the answer is taken.
struct Ask {
    query: LogQuery,
    resume: Resume,
    /// The answer begins where it is asked from.
    is_plain: bool,
    /// An answer that is not as it should be is not taken.
    is_checked: bool,
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
    end: End,
    /// Stamp of the piece that came last.
    last_at: Option<Time>,
    is_plain: bool,
    is_checked: bool,
    is_at_end: bool,
    is_damaged: bool,
    is_elsewhere: bool,
    /// A line was new.
    has_news: bool,
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
        let mut searches = 0;
        let mut is_end_damaged = false;
        loop {
            // In this order: once it does not run, what is newest is final.
            let traits = self.client.inspect(&self.id).await?;
            driver.clone_from(&traits.driver);
            let end = self.end(&traits).await?;
            if end == End::Empty && self.mark.expects_a_line() {
                self.send(vec![gap("the container's log was emptied"), Item::Anew]).await?;
            }
            let is_past = self.is_past(end);
            if is_past {
                self.send(vec![Item::AtEnd]).await?;
            }
            let has_more = !is_past || (is_first && end != End::Empty);
            let is_final = !(traits.is_running && self.follow);
            if !has_more && is_final {
                return Ok(());
            }
            let ask = match is_end_damaged && is_past {
                true => self.ask_tail(Some(0), Resume::anew()),
                false => self.ask(&traits, end, is_first, searches).await?,
            };
            let stream = self.stream(&traits, ask, end).await?;
            searches = if matches!(stream, Stream::Elsewhere) { searches + 1 } else { 0 };
            match stream {
                Stream::Elsewhere => {}
                // One that is always closed at once must not be asked for without a rest.
                Stream::Closed { is_stale: true } if !is_first => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Stream::Closed { .. } => pause = PAUSE_MIN,
                Stream::Hung => {
                    log::info!("a container's log goes on but its stream does not: asked again")
                }
                Stream::Damaged if end == End::Unknown || is_end_damaged => {
                    return Err(Trouble::Damaged.into());
                }
                // Any question for older lines meets the damage again.
                Stream::Damaged => {
                    self.send(vec![gap(DAMAGED)]).await?;
                    is_end_damaged = true;
                }
            }
            if is_final && !matches!(stream, Stream::Elsewhere) {
                return Ok(());
            }
            is_first = false;
        }
    }

    /// How to go on. A short backlog is looked for from the log's end, which is
    /// exact whatever the stamps are; a long one is asked for by stamp.
    async fn ask(&mut self, traits: &Traits, end: End, is_first: bool, searches: u32) -> Result<Ask, Stop> {
        let is_known = self.mark.last().is_some();
        let found = match end {
            End::At(newest) if is_known && searches <= SEARCHES_MAX => {
                let (client, id, mark) = (&self.client, &*self.id, &self.mark);
                let search = Search { client, id, mark, newest, is_tty: traits.is_tty };
                match searches > 0 || mark.hides(newest) {
                    true => Some(search.thorough().await?),
                    false if is_first && !mark.is_past(newest) => search.quick().await?,
                    false => None,
                }
            }
            _ => None,
        };
        match found {
            Some(Found::Anchor(tail)) => {
                Ok(self.ask_tail(Some(tail), Resume::seek(&self.mark, tail.saturating_mul(SLACK))))
            }
            Some(Found::Last { tail, pieces }) => {
                let resume = Resume::seek_last(&self.mark, pieces.saturating_mul(SLACK));
                self.send(vec![Item::Rebased]).await?;
                Ok(self.ask_tail(tail, resume))
            }
            Some(Found::Nothing { tail, is_damaged }) => {
                self.send(vec![gap(if is_damaged { DAMAGED } else { ROTATED })]).await?;
                Ok(self.ask_tail(tail, Resume::anew()))
            }
            None => Ok(Ask {
                query: LogQuery { since: self.mark.since(), follow: self.follow, tail: None },
                resume: Resume::new(&self.mark),
                is_plain: true,
                is_checked: is_known && searches <= SEARCHES_MAX && (searches == 0 || end != End::Unknown),
            }),
        }
    }

    fn ask_tail(&self, tail: Option<u32>, resume: Resume) -> Ask {
        let query = LogQuery { since: Time(0), follow: self.follow, tail };
        Ask { query, resume, is_plain: false, is_checked: true }
    }

    /// Everything up to the log's last line was taken, or was never wanted.
    fn is_past(&self, end: End) -> bool {
        match end {
            End::Empty => true,
            End::At(newest) => self.mark.is_past(newest),
            End::Unknown => false,
        }
    }

    async fn end(&self, traits: &Traits) -> Result<End, Trouble> {
        match self.client.newest(&self.id, traits.is_tty).await {
            Ok(newest) => Ok(newest.map_or(End::Empty, End::At)),
            Err(Trouble::Damaged) => Ok(End::Unknown),
            Err(trouble) => Err(trouble),
        }
    }

    fn sitting(&self, traits: &Traits, ask: Ask, end: End) -> Sitting {
        let writer: Arc<str> = self.id.chars().take(12).collect::<String>().into();
        let stamps_differ = traits.driver == "journald";
        Sitting {
            // One byte more than a line may have, so that a cut is known.
            decoder: Decoder::new(traits.is_tty, self.line_bytes_max.saturating_add(1)),
            joiner: Joiner::new(writer, self.line_bytes_max, traits.is_tty, stamps_differ),
            resume: ask.resume,
            repeats: (!stamps_differ).then(Repeats::default),
            end,
            last_at: None,
            is_plain: ask.is_plain,
            is_checked: ask.is_checked,
            is_at_end: self.is_past(end),
            is_damaged: false,
            is_elsewhere: false,
            has_news: false,
        }
    }

    async fn stream(&mut self, traits: &Traits, ask: Ask, end: End) -> Result<Stream, Stop> {
        let mut answer = self.client.log(&self.id, ask.query).await?;
        let mut sitting = self.sitting(traits, ask, end);
        let mut frames = Vec::new();
        loop {
            let patience = if sitting.is_at_end { self.silence } else { SILENCE_BEHIND };
            match tokio::time::timeout(patience, answer.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    sitting.decoder.feed(&bytes, &mut frames);
                    self.take(&mut sitting, &mut frames).await?;
                }
                Ok(Ok(None)) => {
                    sitting.decoder.finish(&mut frames);
                    self.take(&mut sitting, &mut frames).await?;
                    if !sitting.is_elsewhere && !sitting.is_short() {
                        self.close(&mut sitting).await?;
                        let closed = Stream::Closed { is_stale: !sitting.has_news };
                        return Ok(if sitting.is_damaged { Stream::Damaged } else { closed });
                    }
                    sitting.is_elsewhere = true;
                }
                Ok(Err(_)) => return Err(self.broken().into()),
                Err(_) if sitting.is_short() => sitting.is_elsewhere = true,
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
            if sitting.is_elsewhere || sitting.is_damaged {
                self.send(vec![Item::Forgotten]).await?;
                let is_elsewhere = sitting.is_elsewhere || sitting.is_short();
                return Ok(if is_elsewhere { Stream::Elsewhere } else { Stream::Damaged });
            }
        }
    }

    /// The log ends in another piece than the stream. One that has yet to speak
    /// passes over what is not wanted, and a log may be long.
    async fn is_hung(&self, sitting: &Sitting, traits: &Traits) -> Result<bool, Trouble> {
        let end = self.end(traits).await?;
        let is_there = match sitting.last_at {
            Some(last) => end == End::At(last),
            None => end == sitting.end || !self.is_past(sitting.end),
        };
        Ok(matches!(end, End::At(_)) && !is_there)
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
            let sight = sitting.sight(piece.at);
            match sight {
                Sight::Elsewhere if sitting.is_checked => {
                    sitting.is_elsewhere = true;
                    break;
                }
                // What follows was not taken, but for what goes before the last line.
                Sight::Elsewhere if self.mark.last().is_some_and(|last| piece.at <= last) => {
                    sitting.resume = Resume::seek_last(&self.mark, u32::MAX);
                    sitting.resume.sight(piece.at);
                    items.push(Item::Rebased);
                    continue;
                }
                Sight::Elsewhere => {
                    sitting.resume = Resume::anew();
                    items.push(gap(ROTATED));
                }
                Sight::Before => continue,
                Sight::Expected => {}
            }
            let is_newest = match sitting.end {
                End::At(newest) => piece.at >= newest,
                End::Empty | End::Unknown => true,
            };
            sitting.joiner.push(piece, &mut joined);
            sitting.pick(&mut joined, &mut items);
            if is_newest && !sitting.is_at_end {
                sitting.is_at_end = true;
                items.push(Item::AtEnd);
            }
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
    /// Notes a piece and says what it is. One that is past the log's end while
    /// that has not come shows that lines were withheld.
    fn sight(&mut self, at: Time) -> Sight {
        self.last_at = Some(at);
        let sight = self.resume.sight(at);
        let End::At(newest) = self.end else { return sight };
        let is_missing = match self.is_plain {
            true => !self.is_at_end && self.is_checked && at > newest,
            false => self.resume.is_seeking() && at == newest,
        };
        if is_missing { Sight::Elsewhere } else { sight }
    }

    /// It has to hold the log's last piece, and has not.
    fn is_short(&self) -> bool {
        self.is_checked && !self.is_at_end && matches!(self.end, End::At(_))
    }

    /// Of what was joined, what is new.
    fn pick(&mut self, joined: &mut Vec<Joined>, items: &mut Vec<Item>) {
        items.extend(joined.drain(..).filter_map(|joined| match joined {
            Joined::Opened(channel) => Some(Item::Opened(lane(channel))),
            Joined::Line(line) => {
                let lane = lane(line.stream.channel);
                let is_repeat = self.repeats.as_mut().is_some_and(|r| r.has_seen(&line));
                if !is_repeat && !self.resume.was_taken(lane, line.at) {
                    self.has_news = true;
                    return Some(Item::Line(line));
                }
                let was_opened = line.is_cut || line.text.len() >= PIECE_BYTES;
                was_opened.then_some(Item::Passed(lane))
            }
        }));
    }
}

const ROTATED: &str = "lines were rotated away before they were read";
const DAMAGED: &str = "dockerd cannot read the container's log: it is damaged";

fn gap(why: &str) -> Item {
    Item::Gap(Gap { at: now(), boot: None, lines: None, why: why.to_owned() })
}
