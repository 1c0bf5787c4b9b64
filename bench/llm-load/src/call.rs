//! The callers: each sends requests one after another and checks the answers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::http::{Conn, Fail, now_ns};
use crate::tally::{Tally, put};
use crate::{Plan, Window, body, check};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn next_id() -> [u8; body::ID_LEN] {
    let n = NEXT_ID.fetch_add(1, Relaxed);
    let mut id = [b'0'; body::ID_LEN];
    let text = format!("{n:016x}");
    id.copy_from_slice(text.as_bytes());
    id
}

struct Caller {
    plan: Arc<Plan>,
    window: Arc<Window>,
    tally: Rc<RefCell<Tally>>,
    body: Vec<u8>,
}

impl Caller {
    fn new(plan: &Arc<Plan>, window: &Arc<Window>, tally: &Rc<RefCell<Tally>>) -> Self {
        Caller {
            plan: plan.clone(),
            window: window.clone(),
            tally: tally.clone(),
            body: plan.template.bytes.clone(),
        }
    }

    fn inside(&self, t: u64) -> bool {
        t >= self.window.from && t < self.window.to
    }

    async fn once(&mut self, slot: &mut Option<Conn>) {
        let id = next_id();
        let at = self.plan.template.id_at;
        self.body[at..at + id.len()].copy_from_slice(&id);
        let began = now_ns();
        let mut tries = 0;
        let result = loop {
            tries += 1;
            let mut conn = match slot.take() {
                Some(c) => c,
                None => match Conn::open(&self.plan.addr).await {
                    Ok(c) => {
                        self.tally.borrow_mut().connects += 1;
                        c
                    }
                    Err(e) => break Err(e.name()),
                },
            };
            let reused = conn.used > 0;
            let outcome = if self.plan.stream {
                self.stream(&mut conn, &id, began).await
            } else {
                self.whole(&mut conn, &id, began).await
            };
            match outcome {
                Ok((keep, verdict)) => {
                    if keep && !self.plan.fresh {
                        *slot = Some(conn);
                    }
                    break verdict;
                }
                // A kept connection that the server closed meanwhile is no error.
                Err(Fail::Protocol("closed before the head") | Fail::Io("write" | "read", _))
                    if reused && tries == 1 =>
                {
                    self.tally.borrow_mut().retried += 1;
                }
                Err(e) => break Err(e.name()),
            }
        };
        let ended = now_ns();
        if self.inside(ended) {
            let mut t = self.tally.borrow_mut();
            match result {
                Ok(()) => {
                    t.ok += 1;
                    put(&mut t.latency, ended - began);
                }
                Err(e) => *t.errors.entry(e).or_default() += 1,
            }
        } else if ended >= self.window.to
            && let Err(e) = result
        {
            // Streams that end after the window still have to end well.
            *self.tally.borrow_mut().errors.entry(format!("late {e}")).or_default() += 1;
        }
    }

    async fn whole(
        &mut self,
        conn: &mut Conn,
        id: &[u8; body::ID_LEN],
        began: u64,
    ) -> Result<(bool, Result<(), String>), Fail> {
        let mut sink = check::Whole::new();
        let keep = conn.call([&self.plan.head, &self.body], &mut sink, self.plan.timeout).await?;
        if self.inside(now_ns()) {
            let mut t = self.tally.borrow_mut();
            t.bytes += sink.bytes.len() as u64;
            put(&mut t.first, sink.first_ns - began);
        }
        Ok((keep, sink.verdict(id)))
    }

    async fn stream(
        &mut self,
        conn: &mut Conn,
        id: &[u8; body::ID_LEN],
        began: u64,
    ) -> Result<(bool, Result<(), String>), Fail> {
        let tally = self.tally.clone();
        let window = self.window.clone();
        let mut on_delta = |now: u64, transit: u64| {
            if now >= window.from && now < window.to {
                let mut t = tally.borrow_mut();
                t.deltas += 1;
                put(&mut t.transit, transit);
            }
        };
        let mut sink = check::Events::new(id, &mut on_delta);
        let keep = conn.call([&self.plan.head, &self.body], &mut sink, self.plan.timeout).await?;
        let (first, verdict) = (sink.first_delta_ns, sink.verdict(self.plan.events));
        if self.inside(first) {
            put(&mut self.tally.borrow_mut().first, first - began);
        }
        Ok((keep, verdict))
    }
}

/// Each connection sends its next request when the last answer has ended.
async fn closed_loop(caller: &mut Caller, stagger: Duration, stop: &Cell<bool>) {
    tokio::time::sleep(stagger).await;
    let mut slot = None;
    while !stop.get() && now_ns() < caller.window.to {
        let before = caller.tally.borrow().errors.values().sum::<u64>();
        caller.once(&mut slot).await;
        if caller.tally.borrow().errors.values().sum::<u64>() > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Requests start at a fixed rate, whatever the answers do; idle connections are reused.
async fn open_loop(plan: Arc<Plan>, window: Arc<Window>, tally: Rc<RefCell<Tally>>, rate: f64) {
    type Idle = Rc<RefCell<Vec<(Caller, Option<Conn>)>>>;
    let idle: Idle = Rc::new(RefCell::new(Vec::new()));
    let busy = Rc::new(Cell::new(0usize));
    let start = tokio::time::Instant::now();
    let mut k = 0u64;
    while now_ns() < window.to {
        let due = start + Duration::from_secs_f64(k as f64 / rate);
        tokio::time::sleep_until(due).await;
        k += 1;
        let late = tokio::time::Instant::now() - due;
        if now_ns() >= window.from {
            put(&mut tally.borrow_mut().late, late.as_nanos() as u64);
        }
        if busy.get() >= plan.connections {
            *tally.borrow_mut().errors.entry("no free connection".to_owned()).or_default() += 1;
            continue;
        }
        let taken = idle.borrow_mut().pop();
        let (mut caller, mut slot) = taken.unwrap_or_else(|| (Caller::new(&plan, &window, &tally), None));
        let (idle, busy) = (idle.clone(), busy.clone());
        busy.set(busy.get() + 1);
        tokio::task::spawn_local(async move {
            caller.once(&mut slot).await;
            busy.set(busy.get() - 1);
            idle.borrow_mut().push((caller, slot));
        });
    }
    let grace = tokio::time::Instant::now() + Duration::from_secs(10);
    while busy.get() > 0 && tokio::time::Instant::now() < grace {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One thread's share of the load.
pub(crate) fn worker(plan: Arc<Plan>, window: Arc<Window>, index: usize, threads: usize) -> Tally {
    let tally = Rc::new(RefCell::new(Tally::new()));
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&rt, async {
        if plan.rate > 0.0 {
            open_loop(plan.clone(), window, tally.clone(), plan.rate / threads as f64).await;
            return;
        }
        let stop = Rc::new(Cell::new(false));
        let mine = plan.connections / threads + usize::from(index < plan.connections % threads);
        // Spread the starts over half of the warm-up, so that streams do not beat as one.
        let step = plan.warmup.mul_f64(0.5) / mine.max(1) as u32;
        let tasks: Vec<_> = (0..mine)
            .map(|i| {
                let mut caller = Caller::new(&plan, &window, &tally);
                let stop = stop.clone();
                tokio::task::spawn_local(async move {
                    closed_loop(&mut caller, step * i as u32, &stop).await;
                })
            })
            .collect();
        for t in tasks {
            let _ = t.await;
        }
    });
    tally.replace(Tally::new())
}
