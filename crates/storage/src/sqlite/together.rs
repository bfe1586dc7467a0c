//! Calls that come at the same time are done together: whoever has the turn does it for all that wait, so that a crowd
//! costs a few statements, or a few syncs of the disk, and not one each. Who comes alone waits for nobody.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Sqlite;
use crate::Result;
use crate::error::{Error, ErrorKind};

/// Calls of one kind that wait: half a minute's worth on a slow disk; beyond it the caller is told `Overloaded`.
const WAITING_MAX: usize = 4_096;

/// As many done at once are a crowd: more of it is on its way.
const CROWD: usize = 4;
/// Who does it for a crowd waits so long for the rest of it: a fraction of what it takes to do it in parts.
const CROWD_WAIT: Duration = Duration::from_millis(1);

/// A call that can be done together with others of its kind.
pub(super) trait Call: Clone + Send + Sync + 'static {
    /// What it answers.
    type Answer: Send + 'static;
    /// What it is done with: a connection, a transaction.
    type With: Send;
    /// Calls done at once.
    const TOGETHER_MAX: usize;
    /// Whether it changes nothing: where the one that did it for others gave up half way, they do it again.
    const READS: bool;
    /// Takes what it is done with. Those that come meanwhile are done too.
    fn begin(db: &Sqlite) -> impl Future<Output = Result<Self::With>> + Send;
    /// Does all of them; an answer for each, in their order.
    fn all(
        with: Self::With,
        calls: &[Self],
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer>>>> + Send;
}

/// The calls of one kind.
pub(super) struct Together<C: Call>(Arc<Mutex<State<C>>>);

struct State<C: Call> {
    /// Whether somebody has the turn.
    led: bool,
    /// How many were done at once the last time.
    last: usize,
    waiting: VecDeque<Waiting<C>>,
}

struct Waiting<C: Call> {
    call: C,
    told: oneshot::Sender<Told<C>>,
}

/// What one that waits is told.
enum Told<C: Call> {
    Answer(Result<C::Answer>),
    /// It does it, its own call and those that wait.
    Lead(Turn<C>),
}

/// Held by who does it; dropped, whatever became of its holder, it is the next one's. `None`: passed on.
struct Turn<C: Call>(Option<Arc<Mutex<State<C>>>>);

impl<C: Call> Drop for Turn<C> {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut state = shared.lock();
        while let Some(next) = state.waiting.pop_front() {
            match next.told.send(Told::Lead(Self(Some(Arc::clone(&shared))))) {
                Ok(()) => return,
                // It waits no more: the turn is still here, and that one must not pass it on too.
                Err(Told::Lead(mut turn)) => turn.0 = None,
                Err(Told::Answer(_)) => {}
            }
        }
        state.led = false;
    }
}

/// What a call begins with.
enum Comes<C: Call> {
    Leads(Turn<C>),
    Waits(oneshot::Receiver<Told<C>>),
}

impl<C: Call> Default for Together<C> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { led: false, last: 0, waiting: VecDeque::new() })))
    }
}

impl<C: Call> Together<C> {
    /// Does it, with others or alone.
    pub(super) async fn call(&self, db: &Sqlite, call: C) -> Result<C::Answer> {
        loop {
            let told = match self.come(&call)? {
                // Boxed: most wait, and are no larger than that.
                Comes::Leads(turn) => return Box::pin(self.lead(db, turn, call)).await,
                Comes::Waits(told) => told.await,
            };
            match told {
                Ok(Told::Answer(answer)) => return answer,
                Ok(Told::Lead(turn)) => return Box::pin(self.lead(db, turn, call)).await,
                // Who had it among theirs gave up half way: nothing was made.
                Err(_) if C::READS => {}
                Err(_) => return Err(Error::new(ErrorKind::Overloaded, "the database is busy")),
            }
        }
    }

    fn come(&self, call: &C) -> Result<Comes<C>> {
        let mut state = self.0.lock();
        if !state.led {
            state.led = true;
            return Ok(Comes::Leads(Turn(Some(Arc::clone(&self.0)))));
        }
        if state.waiting.len() >= WAITING_MAX {
            state.waiting.retain(|waiting| !waiting.told.is_closed());
        }
        if state.waiting.len() >= WAITING_MAX {
            return Err(Error::new(ErrorKind::Overloaded, "too many ask the database at once"));
        }
        let (told, hears) = oneshot::channel();
        state.waiting.push_back(Waiting { call: call.clone(), told });
        Ok(Comes::Waits(hears))
    }

    /// Whoever waits when it begins, this one first. Those that are ready to ask, ask before: where a crowd is, one comes
    /// behind the other.
    async fn lead(&self, db: &Sqlite, turn: Turn<C>, call: C) -> Result<C::Answer> {
        if self.0.lock().last >= CROWD {
            tokio::time::sleep(CROWD_WAIT).await;
        }
        let with = C::begin(db).await;
        tokio::task::yield_now().await;
        let (others, mut calls) = (self.take(), vec![call]);
        self.0.lock().last = 1 + others.len();
        let (asked, told): (Vec<C>, Vec<_>) =
            others.into_iter().map(|waiting| (waiting.call, waiting.told)).unzip();
        calls.extend(asked);
        let done = match with {
            Ok(with) => C::all(with, &calls).await,
            Err(error) => Err(error),
        };
        drop(turn);
        match done {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                let own = answers.next();
                told.into_iter().zip(answers).for_each(|(to, answer)| tell(to, answer));
                own.expect("an answer for each")
            }
            Err(error) => {
                told.into_iter().for_each(|to| tell(to, Err(like(&error))));
                Err(error)
            }
        }
    }

    /// The first that wait, and that somebody still waits for.
    fn take(&self) -> Vec<Waiting<C>> {
        let mut state = self.0.lock();
        let mut taken = Vec::new();
        while taken.len() + 1 < C::TOGETHER_MAX
            && let Some(waiting) = state.waiting.pop_front()
        {
            if !waiting.told.is_closed() {
                taken.push(waiting);
            }
        }
        taken
    }
}

fn tell<C: Call>(to: oneshot::Sender<Told<C>>, answer: Result<C::Answer>) {
    // It may have stopped waiting.
    drop(to.send(Told::Answer(answer)));
}

/// The same for each of them; the cause is told to the first alone.
fn like(error: &Error) -> Error {
    Error::new(error.kind(), error.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;
    use tokio::task::JoinHandle;

    use super::*;

    /// What the calls of a test share: leave to go on, and how many were done at once.
    #[derive(Clone)]
    struct Ground {
        db: Arc<Sqlite>,
        go: Arc<Semaphore>,
        groups: Arc<Mutex<Vec<usize>>>,
    }

    /// Answers its number, and fails for all where one of them is [`BAD`].
    #[derive(Clone)]
    struct Number<const READS: bool>(u64, Ground);

    const BAD: u64 = 666;

    impl<const READS: bool> Call for Number<READS> {
        type Answer = u64;
        type With = ();
        const TOGETHER_MAX: usize = 8;
        const READS: bool = READS;

        async fn begin(_db: &Sqlite) -> Result<()> {
            Ok(())
        }

        async fn all((): (), calls: &[Self]) -> Result<Vec<Result<u64>>> {
            let ground = &calls[0].1;
            ground.groups.lock().push(calls.len());
            ground.go.acquire().await.expect("never closed").forget();
            if calls.iter().any(|call| call.0 == BAD) {
                return Err(Error::new(ErrorKind::Storage, "it is broken"));
            }
            Ok(calls.iter().map(|call| Ok(call.0)).collect())
        }
    }

    impl Ground {
        async fn new() -> Self {
            let db = Arc::new(Sqlite::memory().await.expect("a database"));
            Self { db, go: Arc::new(Semaphore::new(0)), groups: Arc::default() }
        }

        /// One that calls, up to where it waits.
        async fn comes<const READS: bool>(
            &self,
            together: &Arc<Together<Number<READS>>>,
            number: u64,
        ) -> JoinHandle<Result<u64>> {
            let (together, ground) = (Arc::clone(together), self.clone());
            let task = tokio::spawn(async move {
                let call = Number(number, ground.clone());
                together.call(&ground.db, call).await
            });
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            task
        }

        fn groups(&self) -> Vec<usize> {
            self.groups.lock().clone()
        }
    }

    async fn answer(task: JoinHandle<Result<u64>>) -> std::result::Result<u64, ErrorKind> {
        task.await.expect("no panic").map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn those_that_come_meanwhile_are_done_at_once() {
        let (ground, together) = (Ground::new().await, Arc::<Together<Number<true>>>::default());
        let mut tasks = Vec::new();
        for number in 0..12 {
            tasks.push(ground.comes(&together, number).await);
        }
        assert_eq!(ground.groups(), [1], "the first waits for nobody");
        ground.go.add_permits(3);
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(answer(task).await, Ok(number as u64));
        }
        assert_eq!(ground.groups(), [1, 8, 3]);
        ground.go.add_permits(1);
        assert_eq!(answer(ground.comes(&together, 7).await).await, Ok(7));
        assert_eq!(ground.groups(), [1, 8, 3, 1], "the turn is free again");
    }

    #[tokio::test]
    async fn all_are_told_what_failed() {
        let (ground, together) = (Ground::new().await, Arc::<Together<Number<true>>>::default());
        let first = ground.comes(&together, 1).await;
        let (bad, other) = (ground.comes(&together, BAD).await, ground.comes(&together, 2).await);
        ground.go.add_permits(2);
        assert_eq!(answer(first).await, Ok(1));
        for task in [bad, other] {
            assert_eq!(answer(task).await, Err(ErrorKind::Storage));
        }
    }

    /// One leads, two are among its group, one came later; the one that leads gives up, then one that waits.
    async fn given_up<const READS: bool>() -> (Ground, Vec<std::result::Result<u64, ErrorKind>>) {
        let (ground, together) = (Ground::new().await, Arc::<Together<Number<READS>>>::default());
        let first = ground.comes(&together, 0).await;
        let leads = ground.comes(&together, 1).await;
        let among = [ground.comes(&together, 2).await, ground.comes(&together, 3).await];
        ground.go.add_permits(1);
        assert_eq!(answer(first).await, Ok(0));
        let gone = ground.comes(&together, 4).await;
        let later = ground.comes(&together, 5).await;
        assert_eq!(ground.groups(), [1, 3]);
        gone.abort();
        assert!(gone.await.expect_err("aborted").is_cancelled());
        leads.abort();
        assert!(leads.await.expect_err("aborted").is_cancelled());
        ground.go.add_permits(9);
        let mut answers = Vec::new();
        for task in among.into_iter().chain([later]) {
            answers.push(answer(task).await);
        }
        ground.go.add_permits(1);
        assert_eq!(answer(ground.comes(&together, 6).await).await, Ok(6), "the turn is free again");
        (ground, answers)
    }

    #[tokio::test]
    async fn reads_of_one_that_gave_up_are_done_again() {
        let (ground, answers) = given_up::<true>().await;
        assert_eq!(answers, [Ok(2), Ok(3), Ok(5)]);
        assert!(ground.groups().iter().sum::<usize>() >= 8, "{:?}", ground.groups());
    }

    #[tokio::test]
    async fn writes_of_one_that_gave_up_are_refused() {
        let (_, answers) = given_up::<false>().await;
        assert_eq!(answers, [Err(ErrorKind::Overloaded), Err(ErrorKind::Overloaded), Ok(5)]);
    }

    #[tokio::test]
    async fn those_that_wait_are_bounded() {
        let (ground, together) = (Ground::new().await, Arc::<Together<Number<true>>>::default());
        let first = ground.comes(&together, 0).await;
        let call = |number| Number(number, ground.clone());
        let mut waiting = Vec::new();
        for number in 0..WAITING_MAX as u64 {
            let Ok(Comes::Waits(told)) = together.come(&call(number)) else { panic!("it waits") };
            waiting.push(told);
        }
        let refused = together.call(&ground.db, call(1)).await.expect_err("too many");
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
        // Those that give up make room.
        drop(waiting);
        let next = ground.comes(&together, 9).await;
        ground.go.add_permits(2);
        assert_eq!((answer(first).await, answer(next).await), (Ok(0), Ok(9)));
    }
}
