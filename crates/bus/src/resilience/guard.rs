//! The order in which a call is protected: deadline, breaker, retry, call.

use std::time::{Duration, Instant};

use metrics::Counter;
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind};
use crate::resilience::breaker::{BreakerConfig, Outcome};
use crate::resilience::breakers::{Breakers, Pass};
use crate::resilience::budget::Budget;
use crate::resilience::retry::{Repeats, Retry, RetryConfig, Trouble, Verdict, Why};

/// What kind of destination a call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Somebody who answers, or fails.
    Service,
    /// A stream: "no responders", "not leader" and silence may mean that its servers choose a leader, which is no failure
    /// for the first 15 s.
    Stream,
}

/// Protects calls: one for all of a process's destinations.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::Duration;
/// use tidings_bus::resilience::{BreakerConfig, Guard, Repeats, RetryConfig, Target};
/// use tidings_bus::{Error, ErrorKind};
///
/// let retry = RetryConfig { first: Duration::from_millis(1), ..RetryConfig::default() };
/// let guard = Guard::new(retry, BreakerConfig::default());
/// let mut tries = 0;
/// let answer = guard
///     .run("prices", Target::Service, Repeats::UnlessReceived, Duration::from_secs(2), |_left| {
///         tries += 1;
///         std::future::ready(if tries < 3 {
///             Err(Error::new(ErrorKind::NoResponders, "nobody is there yet"))
///         } else {
///             Ok("42")
///         })
///     })
///     .await;
/// assert_eq!((answer.unwrap(), tries), ("42", 3));
/// # }
/// ```
#[derive(Debug)]
pub struct Guard {
    retry: RetryConfig,
    budget: Mutex<Budget>,
    breakers: Breakers,
    gave_up: [(Why, Counter); 5],
}

/// One call on its way: made with its first pass through the breaker.
#[derive(Debug)]
pub struct Call<'a> {
    guard: &'a Guard,
    destination: &'a str,
    target: Target,
    retry: Retry,
    pass: Option<Pass<'a>>,
}

/// A number between 0 and 1.
fn draw() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

/// The clock that tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Guard {
    /// All circuits closed, the budget full.
    pub fn new(retry: RetryConfig, breaker: BreakerConfig) -> Self {
        let budget = Budget::new(retry.budget_percent, retry.budget_window, retry.budget_least, now());
        let gave_up = [Why::NoHelp, Why::Received, Why::Attempts, Why::Deadline, Why::Budget]
            .map(|why| (why, metrics::counter!("tidings_bus_gave_up_total", "why" => why.as_str())));
        Self { retry, budget: Mutex::new(budget), breakers: Breakers::new(breaker), gave_up }
    }

    /// The circuits.
    pub fn breakers(&self) -> &Breakers {
        &self.breakers
    }

    /// Begins a call. `CircuitOpen`: the destination is left alone for as long as the error says.
    pub fn call<'a>(
        &'a self,
        destination: &'a str,
        target: Target,
        repeats: Repeats,
        deadline: Duration,
    ) -> Result<Call<'a>, Error> {
        let now = now();
        let pass = self.breakers.admit(destination, now).map_err(|wait| open(destination, wait))?;
        self.budget.lock().call(now);
        let retry = Retry::new(&self.retry, repeats, deadline, now);
        Ok(Call { guard: self, destination, target, retry, pass: Some(pass) })
    }

    /// Makes a call as often as that helps; each try is told how long it may take.
    pub async fn run<T, F: Future<Output = Result<T, Error>>>(
        &self,
        destination: &str,
        target: Target,
        repeats: Repeats,
        deadline: Duration,
        mut one_try: impl FnMut(Duration) -> F,
    ) -> Result<T, Error> {
        let mut call = self.call(destination, target, repeats, deadline)?;
        loop {
            let left = call.left();
            let tried = match tokio::time::timeout(left, one_try(left)).await {
                Ok(tried) => tried,
                Err(_) => Err(Error::new(ErrorKind::Timeout, format!("no answer within {deadline:?}"))),
            };
            match tried {
                Ok(done) => return call.ended(Ok(done)),
                Err(error) => {
                    let trouble = call.trouble(error.kind());
                    let (pause, error) = call.failed(trouble, error)?;
                    tokio::time::sleep(pause).await;
                    call.again(error)?;
                }
            }
        }
    }
}

fn open(destination: &str, wait: Duration) -> Error {
    let what = format!("'{destination}' has failed and is left alone for {wait:?}");
    Error::new(ErrorKind::CircuitOpen, what).after(wait)
}

impl Call<'_> {
    /// What is left of the deadline.
    pub fn left(&self) -> Duration {
        self.retry.left(now())
    }

    /// When the deadline is.
    pub fn until(&self) -> Instant {
        self.retry.until()
    }

    /// Whether the call may arrive twice.
    pub fn repeats(&self) -> Repeats {
        self.retry.repeats()
    }

    /// What an error of this kind means at this destination.
    pub fn trouble(&self, kind: ErrorKind) -> Trouble {
        let settling = matches!(kind, ErrorKind::Connection | ErrorKind::NoResponders | ErrorKind::Timeout);
        if self.target == Target::Stream && settling { Trouble::Settling } else { Trouble::Failed(kind) }
    }

    /// A try failed: the pause before the next one, or the error as the outcome.
    pub fn failed(&mut self, trouble: Trouble, error: Error) -> Result<(Duration, Error), Error> {
        self.report(outcome_of(error.kind(), trouble == Trouble::Settling));
        let verdict = self.retry.after(trouble, now(), draw(), &mut self.guard.budget.lock());
        match verdict {
            Verdict::After(pause) => {
                metrics::counter!("tidings_bus_retries_total", "kind" => error.kind().as_str()).increment(1);
                Ok((pause, error))
            }
            Verdict::GiveUp(why) => {
                if let Some((_, counter)) = self.guard.gave_up.iter().find(|(one, _)| *one == why) {
                    counter.increment(1);
                }
                Err(error)
            }
        }
    }

    /// The pause is over: passes the breaker once more. Where that is open by now, `met`, what the last try met, is the
    /// outcome: it may say that the call was received.
    pub fn again(&mut self, met: Error) -> Result<(), Error> {
        match self.guard.breakers.admit(self.destination, now()) {
            Ok(pass) => {
                self.pass = Some(pass);
                Ok(())
            }
            Err(wait) => Err(met.after(wait)),
        }
    }

    /// The destination answered, though the call goes on: another call to it may follow.
    pub fn heard(&mut self) {
        self.report(Outcome::Answered);
    }

    /// The call's outcome, told to the breaker.
    pub fn ended<T>(mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        let told = match &outcome {
            Ok(_) => Outcome::Answered,
            Err(error) => {
                let kind = error.kind();
                outcome_of(kind, self.trouble(kind) == Trouble::Settling)
            }
        };
        self.report(told);
        outcome
    }

    fn report(&mut self, outcome: Outcome) {
        if let Some(pass) = self.pass.take() {
            pass.report(outcome, now());
        }
    }
}

/// What an error says of the destination: only its own failures count, not the caller's mistakes, nor that there is no
/// connection to anything.
fn outcome_of(kind: ErrorKind, settling: bool) -> Outcome {
    match kind {
        ErrorKind::Timeout | ErrorKind::NoResponders if settling => Outcome::Settling,
        ErrorKind::Timeout | ErrorKind::NoResponders | ErrorKind::HealthCheck | ErrorKind::Storage => {
            Outcome::Failed
        }
        // Alive, and no good sign: it neither opens a circuit nor closes one.
        ErrorKind::Overloaded => Outcome::Unknown,
        ErrorKind::Connection | ErrorKind::CircuitOpen | ErrorKind::Closed => Outcome::Unknown,
        _ => Outcome::Answered,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::resilience::breaker::Phase;

    const SECOND: Duration = Duration::from_secs(1);

    fn guard() -> Guard {
        Guard::new(RetryConfig::default(), BreakerConfig::default())
    }

    async fn fail(guard: &Guard, target: Target, kind: ErrorKind, deadline: Duration) -> (u32, Error) {
        let tries = Cell::new(0);
        let error = guard
            .run("d", target, Repeats::UnlessReceived, deadline, |_| {
                tries.set(tries.get() + 1);
                std::future::ready(Err::<(), _>(Error::new(kind, "it failed")))
            })
            .await
            .unwrap_err();
        (tries.get(), error)
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_until_it_is_answered() {
        let guard = guard();
        let kinds =
            RefCell::new(vec![ErrorKind::NoResponders, ErrorKind::Connection, ErrorKind::NoResponders]);
        let answer = guard
            .run("d", Target::Service, Repeats::UnlessReceived, 60 * SECOND, |_| {
                let kind = kinds.borrow_mut().pop();
                std::future::ready(kind.map_or(Ok(7), |kind| Err(Error::new(kind, "not yet"))))
            })
            .await;
        assert_eq!(answer.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_been_received_is_not_sent_again() {
        for (kind, tries) in [
            (ErrorKind::Timeout, 1),
            (ErrorKind::Schema, 1),
            (ErrorKind::Overloaded, 1),
            (ErrorKind::Connection, 5),
        ] {
            assert_eq!(fail(&guard(), Target::Service, kind, 60 * SECOND).await.0, tries, "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_bounds_a_try_that_hangs() {
        let begun = tokio::time::Instant::now();
        let error = guard()
            .run("d", Target::Service, Repeats::UnlessReceived, SECOND, |_| {
                std::future::pending::<Result<(), Error>>()
            })
            .await
            .unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::Timeout, SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_destination_that_fails_is_left_alone_and_comes_back() {
        let guard = guard();
        // Each failed try counts: the fifth opens it.
        assert_eq!(fail(&guard, Target::Service, ErrorKind::NoResponders, 60 * SECOND).await.0, 5);
        let (tries, error) = fail(&guard, Target::Service, ErrorKind::NoResponders, 60 * SECOND).await;
        assert_eq!((tries, error.kind()), (0, ErrorKind::CircuitOpen));
        let wait = error.retry_after().unwrap();
        assert!(wait > Duration::ZERO && wait <= SECOND, "{wait:?}");
        tokio::time::sleep(wait).await;
        for _ in 0..2 {
            let run =
                guard.run("d", Target::Service, Repeats::Always, SECOND, |_| std::future::ready(Ok(())));
            run.await.unwrap();
        }
        assert_eq!(guard.breakers().list(now())[0].phase, Phase::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn the_callers_mistakes_open_nothing() {
        let guard = guard();
        for kind in [ErrorKind::Schema, ErrorKind::Fenced, ErrorKind::Connection, ErrorKind::Overloaded] {
            for _ in 0..10 {
                fail(&guard, Target::Service, kind, SECOND / 100).await;
            }
        }
        assert_eq!(guard.breakers().not_closed(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_may_choose_its_leader() {
        let guard = guard();
        let (tries, error) = fail(&guard, Target::Stream, ErrorKind::NoResponders, 14 * SECOND).await;
        assert!(tries > 10, "{tries}");
        assert_eq!((error.kind(), guard.breakers().not_closed()), (ErrorKind::NoResponders, 0));
        let (_, error) = fail(&guard, Target::Stream, ErrorKind::NoResponders, 60 * SECOND).await;
        assert_eq!(error.kind(), ErrorKind::NoResponders, "what it met itself");
        assert_eq!(guard.breakers().not_closed(), 1, "after 15 s it fails like any other");
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_tenth_of_the_calls_when_everything_fails() {
        let guard = guard();
        let tries = Cell::new(0);
        let calls = (0..200).map(|number| {
            let (guard, tries) = (&guard, &tries);
            async move {
                let destination = format!("d{number}");
                let run = guard.run(&destination, Target::Service, Repeats::Always, 60 * SECOND, |_| {
                    tries.set(tries.get() + 1);
                    std::future::ready(Err::<(), _>(Error::new(ErrorKind::NoResponders, "nobody")))
                });
                run.await.unwrap_err()
            }
        });
        futures_util::future::join_all(calls).await;
        assert_eq!(tries.get(), 220);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_given_up_by_its_caller_says_nothing() {
        let guard = guard();
        for _ in 0..10 {
            let hanging = guard.run("d", Target::Service, Repeats::UnlessReceived, 60 * SECOND, |_| {
                std::future::pending::<Result<(), Error>>()
            });
            assert!(tokio::time::timeout(SECOND, hanging).await.is_err());
        }
        assert_eq!(guard.breakers().not_closed(), 0);
    }
}
