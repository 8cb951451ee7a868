//! Finds the place in a log from its end, where a question by `since` does not
//! do.
//!
//! The Engine's API shows the last so many pieces of a log (`tail`) as they
//! stand, whatever their stamps; and of a damaged log, what comes after the
//! damage. So the place to go on is sought in ever longer tails: first the
//! anchor, then the last line taken. It must not take a line; it only says how
//! long a tail to ask for and what of it is known.
//!
//! Failure story: at a damaged entry dockerd (measured: 20.10) ends the answer as
//! if the log ended there, or passes over some KiB, and says nothing; what it
//! follows then is the true end. So a tail is whole only if as many pieces came
//! as were asked for. One that is shorter and ends in the newest piece, asked
//! for before, may be the whole log: then a tail of just that length and the
//! longest tail of all begin with the same piece. The longest tail that is whole
//! is found by halving. What is appended meanwhile moves a tail's beginning on,
//! even past the newest piece, which is no damage: whoever asks for it next
//! looks whether what was found is there.

use crate::model::Time;

use super::client::{Client, LogQuery, Trouble};
use super::cursor::Mark;
use super::frames::{Decoder, Frame};

/// The first tail that is looked through, and how much longer the next one is.
const TAIL_MIN: u32 = 512;
const TAIL_FACTOR: u32 = 8;
/// The longest of a quick search.
const TAIL_QUICK: u32 = 32_768;
/// Beginnings of tails that are compared.
const HEAD_MAX: usize = 4_096;

/// Where to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The anchor is in the last so many pieces.
    Anchor(u32),
    /// The line taken last is, the anchor is not.
    Last {
        /// `None`: all there are.
        tail: Option<u32>,
        /// How many that was.
        pieces: u32,
    },
    /// Neither is: the last so many pieces are all that can be read, and new.
    Nothing {
        /// `None`: all there are.
        tail: Option<u32>,
        /// What comes before cannot be read.
        is_damaged: bool,
    },
}

/// What a tail was seen to hold.
#[derive(Debug, Default)]
struct Look {
    has_anchor: bool,
    has_last: bool,
    has_newest: bool,
    pieces: u32,
    /// Pieces after the newest.
    appended: usize,
    /// Stamps of the first pieces.
    head: Vec<Time>,
}

/// Looks for one container's place.
pub struct Search<'a> {
    /// The engine.
    pub client: &'a Client,
    /// Full id of the container.
    pub id: &'a str,
    /// It has a terminal.
    pub is_tty: bool,
    /// What was taken.
    pub mark: &'a Mark,
    /// The stamp of the log's last piece.
    pub newest: Time,
}

impl Search<'_> {
    /// The place, if it is near the end.
    pub async fn quick(&self) -> Result<Option<Found>, Trouble> {
        let mut tail = TAIL_MIN;
        while tail <= TAIL_QUICK {
            let look = self.look(tail).await?;
            let is_all = look.pieces < tail && look.has_newest && self.is_all(&look).await?;
            if !is_all && look.pieces < tail {
                return self.thorough().await.map(Some);
            }
            if look.has_anchor {
                return Ok(Some(Found::Anchor(tail)));
            }
            if is_all {
                break;
            }
            tail = tail.saturating_mul(TAIL_FACTOR);
        }
        Ok(None)
    }

    /// The place, wherever it is.
    pub async fn thorough(&self) -> Result<Found, Trouble> {
        let mut tail = TAIL_MIN;
        let (mut whole, mut broken) = (0, u32::MAX);
        while broken - whole > 1 {
            let look = self.look(tail).await?;
            let is_all = look.pieces < tail && look.has_newest && self.is_all(&look).await?;
            if is_all || look.pieces >= tail {
                whole = tail;
                if look.has_anchor {
                    return Ok(Found::Anchor(tail));
                }
            } else {
                broken = tail;
            }
            if is_all {
                return Ok(match look.has_last {
                    true => Found::Last { tail: None, pieces: look.pieces },
                    false => Found::Nothing { tail: None, is_damaged: false },
                });
            }
            tail = match broken {
                u32::MAX => tail.saturating_mul(TAIL_FACTOR).min(broken - 1),
                _ => whole + (broken - whole) / 2,
            };
        }
        let look = self.look(whole).await?;
        Ok(match look.has_last {
            true => Found::Last { tail: Some(whole), pieces: whole },
            false => Found::Nothing { tail: Some(whole), is_damaged: true },
        })
    }

    /// The tail was shorter than asked for because the log is.
    async fn is_all(&self, short: &Look) -> Result<bool, Trouble> {
        let all = self.look(u32::MAX / 2).await?;
        if all.head.first() != short.head.first() {
            return Ok(false);
        }
        let look = self.look(short.pieces).await?;
        let since = look.appended.saturating_sub(short.appended);
        let begins_alike = match (look.head.first(), short.head.get(since)) {
            (Some(first), Some(then)) => first == then,
            // Too much was appended to compare them.
            _ => true,
        };
        Ok(look.pieces >= short.pieces && begins_alike)
    }

    /// Reads a tail to its end.
    async fn look(&self, tail: u32) -> Result<Look, Trouble> {
        let mut look = Look::default();
        let query = LogQuery { since: Time(0), follow: false, tail: Some(tail) };
        let mut answer = self.client.log(self.id, query).await?;
        let mut decoder = Decoder::new(self.is_tty, 0);
        let mut frames = Vec::new();
        let mut is_over = false;
        while !is_over {
            match self.client.chunk(&mut answer).await? {
                Some(bytes) => decoder.feed(&bytes, &mut frames),
                None => {
                    decoder.finish(&mut frames);
                    is_over = true;
                }
            }
            for frame in frames.drain(..) {
                let Frame::Piece(piece) = frame else { continue };
                look.pieces = look.pieces.saturating_add(1);
                look.appended += usize::from(look.has_newest);
                if look.head.len() < HEAD_MAX {
                    look.head.push(piece.at);
                }
                look.has_anchor |= self.mark.anchor_line() == Some(piece.at);
                look.has_last |= self.mark.last() == Some(piece.at);
                look.has_newest |= piece.at == self.newest;
            }
        }
        Ok(look)
    }
}
