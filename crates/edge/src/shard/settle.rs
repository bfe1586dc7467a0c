//! After each change of the state: what was queued is written, what was left to be done is started.

use std::rc::Rc;

use tokio::sync::mpsc::error::TrySendError;

use super::conn::At;
use super::{Shard, Todo};
use crate::fanout::ToDispatcher;
use crate::session;

impl Shard {
    /// Writes what waits and starts what is to be done. Every task belongs to the shard.
    pub fn settle(self: &Rc<Self>) {
        loop {
            let (dirty, todo) = {
                let mut inner = self.inner.borrow_mut();
                (std::mem::take(&mut inner.dirty), std::mem::take(&mut inner.todo))
            };
            if dirty.is_empty() && todo.is_empty() {
                return;
            }
            self.write(dirty);
            for todo in todo {
                self.start(todo);
            }
        }
    }

    fn write(&self, mut dirty: Vec<u32>) {
        let mut inner = self.inner.borrow_mut();
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
    }

    fn start(self: &Rc<Self>, todo: Todo) {
        let shard = Rc::clone(self);
        match todo {
            Todo::Join(at, hello) => drop(self.tasks.spawn_local(session::join(shard, at, hello))),
            Todo::Command(at) => drop(self.tasks.spawn_local(session::command(shard, at))),
            Todo::State(at, ask) => drop(self.tasks.spawn_local(session::state(shard, at, ask))),
            Todo::Reread(at, seq) => drop(self.tasks.spawn_local(session::reread(shard, at, seq))),
            Todo::TellEnds => drop(self.tasks.spawn_local(session::tell_ends(shard))),
            Todo::LoadMutes => drop(self.tasks.spawn_local(session::load_mutes(shard))),
            Todo::Release(audience, holds) => {
                self.tell_dispatcher(ToDispatcher::Release { shard: self.index, audience, holds });
            }
            Todo::Need(seq) => self.tell_dispatcher(ToDispatcher::Need { shard: self.index, seq }),
        }
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
