//! Asking another provider as well when the first one is slow to begin, and taking the reply that begins first. Off unless
//! `hedge_after_ms` is set, since both providers may charge: so the one that lost is an attempt in the record.
//!
//! While two are asked, each attempt writes in a copy of the record. The exchange itself stays with the request, so that
//! there is one record whatever ends it, and takes over the copy of the attempt that counts.

use std::pin::pin;
use std::time::Duration;

use gatehouse_domain::exchange::Attempt;
use gatehouse_domain::routing::Fault;

use crate::admit;
use crate::failover::{Failure, Reply, Trip, nothing};
use crate::health::Permit;
use crate::open::Open;

type Outcome = Result<Reply, Box<Failure>>;

impl Trip {
    /// The first attempt, and another one beside it if it takes long to begin. Says at which candidate the outcome is, what
    /// came to nothing before being in the record.
    pub(crate) async fn hedged(&self, mut open: Open, at: usize, permit: Permit) -> (usize, Outcome) {
        let after = Duration::from_millis(self.plan.routing.failover.hedge_after_ms);
        let mut first = pin!(self.attempt(open.copied(), at, permit));
        if let Ok(done) = tokio::time::timeout(after, first.as_mut()).await {
            return (at, joined(open, done).await);
        }
        let Some((other, permit)) = self.another() else { return (at, joined(open, first.await).await) };
        let mut second = pin!(self.attempt(open.copied(), other, permit));
        let (done, which, rest, slow) = tokio::select! {
            biased;
            done = first.as_mut() => (done, at, second, other),
            done = second.as_mut() => (done, other, first, at),
        };
        match done {
            Ok(reply) => {
                self.lost(&mut open, slow, Fault::Hedged);
                (which, joined(open, Ok(reply)).await)
            }
            Err(failure) => match failure.fault() {
                // Nobody else is to be asked.
                None => {
                    self.lost(&mut open, slow, Fault::Hedged);
                    (which, joined(open, Err(failure)).await)
                }
                Some(fault) => {
                    self.lost(&mut open, which, fault);
                    (slow, joined(open, rest.await).await)
                }
            },
        }
    }

    /// Another candidate that may be asked now.
    fn another(&self) -> Option<(usize, Permit)> {
        let left = self.left.get().checked_sub(1)?;
        let found = self.pick(false)?;
        self.left.set(left);
        Some(found)
    }

    /// Notes an attempt that came to nothing, or that is given up since the other one began.
    fn lost(&self, open: &mut Open, at: usize, fault: Fault) {
        let provider = &self.plan.candidates[at].provider;
        if fault == Fault::Hedged {
            provider.health.count(&provider.name, Some(fault));
        }
        let attempt = Attempt { provider: provider.name.to_string(), fault, ended_ms: open.elapsed_ms() };
        open.record().attempts.push(attempt);
    }
}

/// Gives the exchange to the attempt that counts.
async fn joined(open: Open, outcome: Outcome) -> Outcome {
    match outcome {
        Ok((mut held, head)) => {
            let copy = std::mem::replace(&mut held.flow().open, open);
            match held.flow().open.take_over(copy).await {
                Ok(()) => Ok((held, head)),
                Err(why) => {
                    // The budgets that apply there have no room, so nobody may use it.
                    Err(nothing(held.into_flow().open, admit::refusal(why), None))
                }
            }
        }
        Err(mut failure) => {
            let place = failure.open();
            let copy = std::mem::replace(place, open);
            // Nothing of it is used, so its budgets do not matter.
            let _ = place.take_over(copy).await;
            Err(failure)
        }
    }
}

impl Failure {
    /// The exchange.
    fn open(&mut self) -> &mut Open {
        match self {
            Self::Reply(held, ..) => &mut held.flow().open,
            Self::Nothing(failed) => &mut failed.open,
        }
    }
}
