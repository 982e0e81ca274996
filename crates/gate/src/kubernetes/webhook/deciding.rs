//! One request from its body to its answer: a seat is waited for, the decision is made on a thread of its own, recorded,
//! and answered before the deadline. Whatever goes wrong on the way is a denial.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use policy::Outcome;
use sources::Context;
use tokio::sync::Semaphore;
use tokio::task;
use tokio::time::{Instant, timeout, timeout_at};

use super::Recorder;
use super::metrics::{Failure, Metrics};
use crate::kubernetes::review::{self, Decided, NotAReview};
use crate::record::{Door, Record, SCHEMA};
use crate::{Rules, Ruling};

/// How long a decision that is being recorded at its deadline is waited for: what the record says is then what is answered.
const GRACE: Duration = Duration::from_millis(250);

pub(super) struct Decider {
    pub(super) context: Context,
    pub(super) rules: Arc<Rules>,
    pub(super) recorder: Recorder,
    pub(super) clock: fn() -> Timestamp,
    pub(super) metrics: Metrics,
    /// As many as there are processors: judging is work for them alone.
    pub(super) seats: Arc<Semaphore>,
    pub(super) answer_within: Duration,
}

impl Decider {
    /// Decides about a review by its deadline.
    pub(super) async fn decide(
        self: &Arc<Self>,
        body: Bytes,
        begun: Instant,
        deadline: Instant,
    ) -> Result<Decided, NotAReview> {
        let decided = self.decide_in_time(body, begun, deadline).await;
        match &decided {
            Ok(decided) => {
                let outcome = decided.ruling.outcome;
                self.metrics.decided(outcome, decided.operation, &decided.kind, begun.elapsed());
            }
            Err(_) => self.metrics.failed(Failure::Unreadable),
        }
        decided
    }

    async fn decide_in_time(
        self: &Arc<Self>,
        body: Bytes,
        begun: Instant,
        deadline: Instant,
    ) -> Result<Decided, NotAReview> {
        let Ok(Ok(seat)) = timeout_at(deadline, self.seats.clone().acquire_owned()).await else {
            return self.late(&body, begun).await;
        };
        let taken = Arc::new(AtomicBool::new(false));
        let mut work = {
            let (this, body, taken) = (self.clone(), body.clone(), taken.clone());
            task::spawn_blocking(move || {
                let _seat = seat;
                this.decide_now(&body, begun, &taken)
            })
        };
        let done = match timeout_at(deadline, &mut work).await {
            Ok(done) => Some(done),
            // Whoever takes the request first answers it.
            Err(_) if taken.swap(true, Ordering::SeqCst) => timeout(GRACE, work).await.ok(),
            Err(_) => None,
        };
        match done {
            Some(Ok(Some(decided))) => decided,
            _ => self.late(&body, begun).await,
        }
    }

    /// The decision, recorded; nothing where the deadline was first.
    fn decide_now(
        &self,
        body: &[u8],
        begun: Instant,
        taken: &AtomicBool,
    ) -> Option<Result<Decided, NotAReview>> {
        let rules = self.rules.now();
        let now = (self.clock)();
        let today = now.to_zoned(TimeZone::UTC).date();
        let decide = AssertUnwindSafe(|| review::decide(body, &self.context, &rules, today));
        let decided = catch_unwind(decide).unwrap_or_else(|_| {
            self.metrics.failed(Failure::Panic);
            Decided::refused(body, "denied: an error of the gate itself; its own log says more")
        });
        if taken.swap(true, Ordering::SeqCst) {
            return None;
        }
        Some(decided.map(|decided| self.recorded(decided, rules.policy.path.as_deref(), now, begun)))
    }

    /// What was not decided in time. It may be long, so its `uid` is looked for off the threads that answer.
    async fn late(self: &Arc<Self>, body: &Bytes, begun: Instant) -> Result<Decided, NotAReview> {
        self.metrics.failed(Failure::Late);
        let (this, body) = (self.clone(), body.clone());
        let waited = begun.elapsed();
        let refused = task::spawn_blocking(move || {
            let message =
                format!("denied: the gate did not come to a decision within {:.1} s", waited.as_secs_f64());
            let refused = Decided::refused(&body, &message)?;
            Ok(this.recorded(refused, this.rules.now().policy.path.as_deref(), (this.clock)(), begun))
        });
        refused.await.unwrap_or_else(|_| Err(NotAReview::unanswerable()))
    }

    /// Records a decision. One that lets something in and cannot be recorded is none.
    fn recorded(
        &self,
        mut decided: Decided,
        policy: Option<&str>,
        time: Timestamp,
        begun: Instant,
    ) -> Decided {
        let record = Record {
            schema: SCHEMA,
            time,
            door: Door::Kubernetes,
            who: &decided.who,
            asked: &decided.asked,
            policy,
            ruling: &decided.ruling,
            took: begun.elapsed(),
        };
        let failure = match &self.recorder {
            Recorder::Nowhere => None,
            Recorder::Log(log) => log.append(&record).err().map(|error| error.to_string()),
            Recorder::Lines => print_line(&record).err().map(|error| error.to_string()),
        };
        if let Some(failure) = failure {
            self.metrics.failed(Failure::Unrecorded);
            if decided.ruling.outcome != Outcome::Deny {
                let message = format!("denied: the decision cannot be recorded: {failure}");
                decided.ruling = Ruling { outcome: Outcome::Deny, message, ..decided.ruling };
            }
        }
        decided
    }
}

fn print_line(record: &Record<'_>) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}
