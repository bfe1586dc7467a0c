//! After each change of the state: what was queued is written, what was left to be done is started.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tidings_protocol::CloseCode;
use tokio::sync::mpsc::error::TrySendError;

use super::conn::At;
use super::end::{Bye, End};
use super::{Inner, Shard, Todo};
use crate::fanout::ToDispatcher;
use crate::session;

/// Pause before what a task that panicked left is taken up: one that always panics must not keep the shard busy.
const PANIC_PAUSE: Duration = Duration::from_millis(100);

impl Shard {
    /// Writes what waits, unless a turn of writing is about to, and starts what is to be done. Every task belongs to the
    /// shard.
    pub fn settle(self: &Rc<Self>) {
        loop {
            let wrote = self.write();
            let todo = std::mem::take(&mut self.inner.borrow_mut().todo);
            if !wrote && todo.is_empty() {
                return;
            }
            for todo in todo {
                self.start(todo);
            }
        }
    }

    /// Whether there was something that might be written.
    fn write(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        if inner.paced || inner.dirty.is_empty() {
            return false;
        }
        let mut dirty = std::mem::take(&mut inner.dirty);
        for key in dirty.drain(..) {
            let Some(conn) = inner.conns.get_mut(key as usize) else { continue };
            conn.dirty = false;
            if conn.blocked {
                continue;
            }
            let at = At { key, id: conn.id };
            let _ = inner.flush(at);
        }
        if inner.dirty.is_empty() {
            inner.dirty = dirty;
        }
        true
    }

    fn start(self: &Rc<Self>, todo: Todo) {
        let shard = Rc::clone(self);
        match todo {
            Todo::Join(at, hello) => self.spawn(Work::Of(at), session::join(shard, at, hello)),
            Todo::Command(at) => self.ask_zone(at),
            Todo::Again(at, number, wait) => self.spawn(Work::Of(at), again(shard, at, number, wait)),
            Todo::State(at, ask) => self.spawn(Work::Of(at), session::state(shard, at, ask)),
            Todo::Reread(at, seq) => self.spawn(Work::Of(at), session::reread(shard, at, seq)),
            Todo::TellEnds => self.spawn(Work::Ends, session::tell_ends(shard)),
            Todo::LoadMutes => self.spawn(Work::Mutes, session::load_mutes(shard)),
            Todo::Release(audience, holds) => {
                self.tell_dispatcher(ToDispatcher::Release { shard: self.index, audience, holds });
            }
            Todo::Need(seq) => self.tell_dispatcher(ToDispatcher::Need { shard: self.index, seq }),
        }
    }

    /// A task of the shard. Where it panics, what it leaves undone is undone, once.
    fn spawn(self: &Rc<Self>, work: Work, task: impl Future<Output = ()> + 'static) {
        let shard = Rc::clone(self);
        self.tasks.spawn_local(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                metrics::counter!("tidings_edge_task_panics_total").increment(1);
                tracing::error!(?work, "a task of the edge panicked");
                tokio::time::sleep(PANIC_PAUSE).await;
                shard.inner.borrow_mut().panicked(work);
                shard.settle();
            }
        });
    }

    /// Tells the dispatcher; where its queue is full a task waits in our place.
    fn tell_dispatcher(&self, message: ToDispatcher) {
        if let Err(TrySendError::Full(message)) = self.shared.dispatcher.try_send(message) {
            let queue = self.shared.dispatcher.clone();
            self.tasks.spawn_local(async move {
                let _ = queue.send(message).await;
            });
        }
    }
}

/// Asks for a command again after a pause, unless it was answered meanwhile.
async fn again(shard: Rc<Shard>, at: At, number: u64, wait: Duration) {
    tokio::time::sleep(wait).await;
    if shard.inner.borrow_mut().asked(at) == Some(number) {
        shard.ask_zone(at);
        shard.settle();
    }
}

/// What a task is for.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// One connection.
    Of(At),
    /// Telling others of ends.
    Ends,
    /// Loading mutes.
    Mutes,
}

impl Inner {
    fn panicked(&mut self, work: Work) {
        match work {
            // Its client comes back by resume, and asks again for what it has no answer to.
            Work::Of(at) => self.end(at, End::Lost("task"), Some(Bye::of(CloseCode::Fault))),
            Work::Ends => self.todo.push(Todo::TellEnds),
            Work::Mutes => self.mutes_lost(),
        }
    }
}
