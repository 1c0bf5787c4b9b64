//! Whether a reply begins as one should, before anything of it is handed on; and who signed what it holds.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use gatehouse_domain::routing::Fault;
use gatehouse_providers::anthropic::SignatureScan;

use super::{Flow, Meter, PIECE, Step};
use crate::routes::Routes;

/// Remembers the signatures in a reply.
pub(super) struct Learner {
    scan: SignatureScan,
    family: u64,
}

impl Learner {
    /// Looks at what passes.
    pub(super) fn feed(&mut self, data: &[u8], routes: &Routes) {
        let family = self.family;
        self.scan.feed(data, |signature| routes.issued(signature, family));
    }
}

impl Flow {
    /// Remembers that what the reply holds of signatures is this family's.
    pub(crate) fn learn(&mut self, family: u64) {
        let scan = SignatureScan::new(self.worker.shared.routes.seed());
        self.learner = Some(Box::new(Learner { scan, family }));
    }

    /// Waits until it is seen whether the reply begins as one should; what comes until then is kept. None if it does, or if
    /// we are to stop.
    pub(crate) fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<Option<Fault>> {
        loop {
            if self.active.poll_cut(cx).is_some() {
                return Poll::Ready(None);
            }
            let step = ready!(self.poll_next(cx));
            let step = match self.kept.take() {
                Some(Step::Bytes(before)) => step.behind(&before),
                Some(_) | None => step,
            };
            let verdict = self.judge(&step);
            let may_wait = matches!(&step, Step::Bytes(bytes) if bytes.len() < PIECE);
            self.kept = Some(step);
            match verdict {
                None if may_wait => {}
                None => return Poll::Ready(None),
                Some(verdict) => return Poll::Ready(verdict),
            }
        }
    }

    /// Whether what came is the beginning of a reply, as far as can be said.
    #[expect(clippy::option_option, reason = "nothing to say yet is not that all is well")]
    fn judge(&self, step: &Step) -> Option<Option<Fault>> {
        let (bytes, broken) = match step {
            Step::Bytes(bytes) | Step::Last(bytes) => (bytes, None),
            Step::Broken(bytes, why) => {
                (bytes, Some(if *why == "upstream_silent" { Fault::Timeout } else { Fault::Broken }))
            }
        };
        let is_last = matches!(step, Step::Last(_));
        match &self.meter {
            Meter::Stream(meter) if meter.has_started() => Some(None),
            Meter::Stream(meter) => match meter.error() {
                Some("overloaded_error") => Some(Some(Fault::Overloaded)),
                Some("rate_limit_error") => Some(Some(Fault::RateLimited)),
                Some("api_error" | "timeout_error") => Some(Some(Fault::ServerError)),
                // The request's fault: others would say the same.
                Some(_) => Some(None),
                None if is_last => Some(Some(Fault::Garbage)),
                None => broken.map(Some),
            },
            Meter::Body(_) | Meter::None if broken.is_some() => broken.map(Some),
            Meter::Body(_) | Meter::None => match bytes.trim_ascii_start().first() {
                Some(b'{') => Some(None),
                Some(_) => Some(Some(Fault::Garbage)),
                None if is_last => Some(Some(Fault::Garbage)),
                None => None,
            },
        }
    }

    /// Reads a reply that is a refusal to its end, up to a limit; what comes is kept.
    pub(crate) fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.active.poll_cut(cx).is_some()
                || matches!(self.kept, Some(Step::Last(_) | Step::Broken(..)))
            {
                return Poll::Ready(());
            }
            let step = ready!(self.poll_next(cx));
            let step = match self.kept.take() {
                Some(Step::Bytes(before)) => step.behind(&before),
                Some(_) | None => step,
            };
            let is_enough = step.len() >= PIECE as u64;
            self.kept = Some(step);
            if is_enough {
                return Poll::Ready(());
            }
        }
    }

    /// What is kept of a reply that has not been handed on.
    pub(crate) fn kept(&self) -> &[u8] {
        match &self.kept {
            Some(Step::Bytes(bytes) | Step::Last(bytes) | Step::Broken(bytes, _)) => bytes,
            None => &[],
        }
    }

    /// The provider broke off in the middle of its reply.
    pub(crate) fn broke_off(&mut self) {
        if let Some(permit) = &mut self.permit {
            permit.failed(Fault::Broken, None);
        }
    }
}

impl Step {
    /// Bytes in it.
    pub(super) const fn len(&self) -> u64 {
        let (Self::Bytes(bytes) | Self::Last(bytes) | Self::Broken(bytes, _)) = self;
        bytes.len() as u64
    }

    /// The same with what came before it.
    fn behind(self, before: &Bytes) -> Self {
        let joined = |after: Bytes| {
            let mut all = BytesMut::with_capacity(before.len() + after.len());
            all.extend_from_slice(before);
            all.extend_from_slice(&after);
            all.freeze()
        };
        match self {
            Self::Bytes(bytes) => Self::Bytes(joined(bytes)),
            Self::Last(bytes) => Self::Last(joined(bytes)),
            Self::Broken(bytes, why) => Self::Broken(joined(bytes), why),
        }
    }
}
