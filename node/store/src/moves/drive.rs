//! Driving one move from wherever it is to its end. Everything that it needs to know is in the two stores and
//! the directory, so that it may stop at any step and another driver goes on.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use posthouse_cluster::Environment;

use super::{
    DepartureState, Ledger, Mark, MoveStep, Phase, Places, Progress, Standing, Wish,
    link::{Halt, Link, Mine},
    round::{Carried, Carrier},
};

/// With so much left, the mailbox is frozen for the last round.
const LAST_ITEMS: u64 = 200;
/// Bytes of these.
const LAST_BYTES: u64 = 4 << 20;
/// After so many rounds that did not come to an end, each further one allows twice as much to be left.
const PATIENT_ROUNDS: u32 = 10;
/// Most doublings.
const MAX_DOUBLINGS: u32 = 8;
/// Times that a driver looks again where the move is, before it waits.
const LOOKS: u32 = 8;

/// How fast a move may copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Bytes of bodies per second; `None` as fast as it goes.
    pub bytes_per_second: Option<u64>,
}

impl Pace {
    /// Sleeps until so many bytes more are not too many. Moves that share `next` share the rate.
    pub(super) async fn wait(self, link: &Link, next: &Next, bytes: u64) {
        let Some(rate) = self.bytes_per_second.filter(|rate| *rate > 0) else { return };
        let now = link.now();
        let due = {
            let mut next = next.0.lock();
            *next = (*next).max(now) + Duration::from_secs_f64(bytes as f64 / rate as f64);
            *next
        };
        if due > now {
            link.env.clock.sleep(due.saturating_sub(now)).await;
        }
    }
}

/// When the next bytes may be copied.
#[derive(Clone, Default)]
pub(super) struct Next(Arc<Mutex<Duration>>);

/// How a move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveEnd {
    /// The mailbox is in the new store.
    Moved,
    /// It is where it was.
    Stayed,
}

/// Why a driver stops before the end. It may begin again, here or elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// A store or the directory cannot be reached, or somebody else drives.
    #[error("{0}")]
    Later(String),
}

/// Drives one move.
pub struct Driver {
    link: Link,
    pace: Pace,
    next: Next,
    /// When this driver froze the mailbox.
    froze: Mutex<Option<Duration>>,
}

impl Driver {
    /// For a move whose source is led by this node as long as `mine` says so.
    pub fn new(
        env: Environment,
        places: Arc<dyn Places>,
        ledger: Arc<dyn Ledger>,
        wish: Wish,
        pace: Pace,
        mine: Mine,
    ) -> Self {
        let progress = Progress { id: Some(wish.id), ..Progress::default() };
        let progress = Arc::new(Mutex::new(progress));
        let link = Link { places, ledger, env, wish, mine, progress };
        Self { link, pace, next: Next::default(), froze: Mutex::new(None) }
    }

    /// Shares its rate with others.
    pub(super) fn sharing(mut self, next: Next) -> Self {
        self.next = next;
        self
    }

    /// How far it is; kept up to date while it is driven.
    pub fn progress(&self) -> Arc<Mutex<Progress>> {
        self.link.progress.clone()
    }

    /// Drives the move to its end. The future may be dropped at any point.
    pub async fn drive(&self) -> Result<MoveEnd, MoveError> {
        let mut standing = self.link.ledger.standing(self.link.wish.id);
        let mut reason = None;
        for _ in 0..LOOKS {
            let halt = match self.advance(standing, reason.as_deref()).await {
                Ok(Then::End(end)) => {
                    self.link.note(|progress| progress.phase = Phase::Over);
                    return Ok(end);
                }
                Ok(Then::Look(now)) => {
                    standing = now;
                    continue;
                }
                Err(halt) => halt,
            };
            standing = match halt {
                Halt::Later(why) => return self.later(why),
                Halt::Again => self.link.ledger.standing(self.link.wish.id),
                Halt::Never(why) => self.give_up(&mut reason, why).await?,
                Halt::Refused(refusal) => self.give_up(&mut reason, refusal.to_string()).await?,
            };
        }
        self.later("the move is being driven elsewhere".into())
    }

    fn later<T>(&self, why: String) -> Result<T, MoveError> {
        self.link.note(|progress| progress.problem = Some(why.clone()));
        Err(MoveError::Later(why))
    }

    async fn give_up(
        &self,
        reason: &mut Option<String>,
        why: String,
    ) -> Result<Standing, MoveError> {
        let wish = &self.link.wish;
        tracing::error!(target: "error", mailbox = ?wish.mailbox, from = wish.from.0, to = wish.to.0,
            reason = ?why, "the move of a mailbox failed");
        if reason.is_some() {
            return self.later(why);
        }
        self.link.note(|progress| progress.problem = Some(why.clone()));
        *reason = Some(why);
        match self.link.ledger.mark(wish.id, Mark::Ending).await {
            Ok(standing) => Ok(standing),
            Err(error) => self.later(error.to_string()),
        }
    }

    async fn advance(&self, standing: Standing, reason: Option<&str>) -> Result<Then, Halt> {
        match standing {
            Standing::Unknown => Err(Halt::Later("the directory does not know the move".into())),
            Standing::Wanted => self.carry_over().await.map(Then::Look),
            Standing::Moved => self.finish().await,
            Standing::Ending | Standing::Ended => self.undo(standing, reason).await,
        }
    }

    /// From a wish to the point at which the mailbox changes its store.
    async fn carry_over(&self) -> Result<Standing, Halt> {
        let (link, wish) = (&self.link, &self.link.wish);
        let leave = MoveStep::Leave { mailbox: wish.mailbox, id: wish.id, to: wish.to };
        let mut frozen = match link.depart(leave).await?.state {
            DepartureState::Leaving => false,
            DepartureState::Frozen => true,
            // it is over, and this node has not heard of it
            _ => return link.mark(Mark::Running).await.and_then(known_again),
        };
        if !frozen {
            let standing = link.mark(Mark::Running).await?;
            if standing != Standing::Wanted {
                return Ok(standing);
            }
        }
        link.note(|progress| progress.phase = Phase::Copying);
        let (mailbox, id, from) = (wish.mailbox, wish.id, wish.from);
        link.step(wish.to, MoveStep::Arrive { mailbox, id, from }).await?;
        let mut carrier = Carrier::resume(link, self.pace, self.next.clone()).await?;
        let mut rounds = 0;
        while !frozen {
            let carried = carrier.round().await?;
            link.note(|progress| progress.phase = Phase::CatchingUp);
            rounds += 1;
            let (items, bytes) = allowance(rounds);
            if carried.items > items || carried.bytes > bytes {
                continue;
            }
            // what is equal now need not be compared while the mailbox waits
            carrier.verify().await?;
            let standing = link.mark(Mark::Switching).await?;
            if standing != Standing::Wanted {
                return Ok(standing);
            }
            let carried = carrier.round().await?;
            frozen = self.freeze(carried, rounds).await?;
        }
        self.switch(carrier).await
    }

    async fn freeze(&self, carried: Carried, rounds: u32) -> Result<bool, Halt> {
        let (items, bytes) = allowance(rounds);
        let (id, since) = (self.link.wish.id, carried.modseq);
        let step = MoveStep::Freeze { id, since, items, bytes };
        *self.froze.lock() = Some(self.link.now());
        Ok(self.link.depart(step).await?.state == DepartureState::Frozen)
    }

    /// The last round, the comparison, and the mark that makes it true.
    async fn switch(&self, mut carrier: Carrier<'_>) -> Result<Standing, Halt> {
        self.link.note(|progress| progress.phase = Phase::Switching);
        carrier.frozen = true;
        carrier.round().await?;
        carrier.verify().await?;
        match self.link.mark(Mark::Moved).await? {
            // another driver marked it as running
            Standing::Wanted => {
                self.link.mark(Mark::Switching).await?;
                self.link.mark(Mark::Moved).await
            }
            other => Ok(other),
        }
    }

    /// The directory names the new store: the old one answers no more, then the new one begins.
    async fn finish(&self) -> Result<Then, Halt> {
        let (link, wish) = (&self.link, &self.link.wish);
        let id = wish.id;
        link.depart(MoveStep::Part { id }).await?;
        link.step(wish.to, MoveStep::Activate { id }).await?;
        self.note_frozen();
        link.note(|progress| progress.phase = Phase::Clearing);
        link.clear(wish.from, MoveStep::Erase { id }).await?;
        tracing::info!(target: "operation", mailbox = ?wish.mailbox, from = wish.from.0, to = wish.to.0,
            "a mailbox was moved");
        Ok(Then::End(MoveEnd::Moved))
    }

    fn note_frozen(&self) {
        // another driver may have frozen it
        let Some(since) = self.froze.lock().take() else { return };
        let frozen = self.link.now().saturating_sub(since);
        metrics::histogram!("posthouse_store_move_frozen_seconds").record(frozen);
        self.link.note(|progress| progress.frozen = Some(frozen));
    }

    /// The mailbox stays: it is used again at once, then the target is cleared.
    async fn undo(&self, standing: Standing, reason: Option<&str>) -> Result<Then, Halt> {
        let (link, wish) = (&self.link, &self.link.wish);
        let id = wish.id;
        link.note(|progress| progress.phase = Phase::Undoing);
        let departure = link.depart(MoveStep::Abandon { id }).await?;
        link.clear(wish.to, MoveStep::Drop { id }).await?;
        if departure.state == DepartureState::Abandoned {
            link.depart(MoveStep::Close { id }).await?;
        }
        if standing == Standing::Ending {
            let mark = reason.map_or(Mark::Ended, |reason| Mark::Failed(reason.to_owned()));
            link.mark(mark).await?;
        }
        Ok(Then::End(MoveEnd::Stayed))
    }
}

/// What follows a stretch of a move.
enum Then {
    /// The directory says something new.
    Look(Standing),
    /// Nothing.
    End(MoveEnd),
}

/// A move that the source has finished cannot be wanted.
fn known_again(standing: Standing) -> Result<Standing, Halt> {
    match standing {
        Standing::Wanted => Err(Halt::Never("the source says that this move is over".into())),
        other => Ok(other),
    }
}

/// What may be left for the last round: more and more if the mailbox changes faster than it is copied.
fn allowance(rounds: u32) -> (u64, u64) {
    let doublings = rounds.saturating_sub(PATIENT_ROUNDS).min(MAX_DOUBLINGS);
    (LAST_ITEMS << doublings, LAST_BYTES << doublings)
}
