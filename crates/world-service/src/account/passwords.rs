//! Passwords: Argon2id on threads of their own, so that hashing never holds up the world, with a bounded queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use parking_lot::Mutex;
use tidings_protocol::ErrorCode;
use tidings_service::CallError;
use tidings_storage::Secret;
use tokio::sync::oneshot;

/// Fewest characters of a password: what NIST SP 800-63B asks of one that a person chooses.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password, in bytes: enough for any phrase, and nothing to hash for long.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Hashes that wait for a thread: two seconds' worth at 30 ms each. Beyond it callers are told
/// `resource_exhausted`.
pub const WAITING_MAX: usize = 64;

/// How costly a hash is. The default is OWASP's: 19 MiB, 2 passes, 1 lane.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
}

impl Default for Cost {
    fn default() -> Self {
        Self { memory_kib: Params::DEFAULT_M_COST, passes: Params::DEFAULT_T_COST }
    }
}

type Job = Box<dyn FnOnce(&Argon2<'static>) + Send>;

/// The threads: cheap to clone; they end with the last clone.
#[derive(Clone)]
pub struct Passwords {
    jobs: SyncSender<Job>,
    dummy: Arc<Secret<String>>,
    done: Arc<AtomicU64>,
}

impl Passwords {
    /// Starts the threads.
    pub fn start(threads: usize, cost: Cost) -> Result<Self, CallError> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None)
            .map_err(|_| CallError::internal("The cost of password hashes is out of bounds."))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy = Arc::new(hash_now(&argon2, b"nobody has this password")?);
        let (jobs, queue) = sync_channel::<Job>(WAITING_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let done = Arc::new(AtomicU64::new(0));
        for n in 0..threads.max(1) {
            let (queue, done, argon2) = (Arc::clone(&queue), Arc::clone(&done), argon2.clone());
            std::thread::Builder::new()
                .name(format!("passwords-{n}"))
                .spawn(move || work(&queue, &done, &argon2))
                .map_err(|_| CallError::internal("No thread can be started."))?;
        }
        Ok(Self { jobs, dummy, done })
    }

    /// The PHC string of a password that is allowed.
    pub async fn hash(&self, password: &str) -> Result<Secret<String>, CallError> {
        check_form(password)?;
        let password = Secret::new(password.to_owned());
        self.run(move |argon2| hash_now(argon2, password.expose().as_bytes())).await?
    }

    /// Whether the password is the one of the hash. Where there is no hash it takes as long, and is not.
    pub async fn verify(&self, password: &str, hash: Option<&Secret<String>>) -> Result<bool, CallError> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.dummy).clone();
        let password = Secret::new(password.to_owned());
        let matches = self.run(move |argon2| {
            PasswordHash::new(hash.expose())
                .is_ok_and(|hash| argon2.verify_password(password.expose().as_bytes(), &hash).is_ok())
        });
        Ok(matches.await? && known)
    }

    /// How many were hashed or compared.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Argon2<'static>) -> T + Send + 'static,
    ) -> Result<T, CallError> {
        let (answer, waiting) = oneshot::channel();
        // A caller that stopped waiting is answered into nothing.
        let job: Job = Box::new(move |argon2| drop(answer.send(job(argon2))));
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                metrics::counter!("tidings_account_passwords_refused_total").increment(1);
                let busy =
                    CallError::new(ErrorCode::ResourceExhausted, "Too many people sign in at the moment.");
                return Err(busy.after(std::time::Duration::from_secs(2)));
            }
            Err(TrySendError::Disconnected(_)) => {
                return Err(CallError::unavailable("The service is closing."));
            }
        }
        waiting.await.map_err(|_| CallError::internal("A password could not be checked."))
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

fn work(queue: &Mutex<Receiver<Job>>, done: &AtomicU64, argon2: &Argon2<'static>) {
    loop {
        let next = queue.lock().recv();
        let Ok(job) = next else { return };
        done.fetch_add(1, Ordering::Relaxed);
        // A panic in one must not end the thread; its caller is told by the dropped sender.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(argon2)));
    }
}

fn hash_now(argon2: &Argon2<'static>, password: &[u8]) -> Result<Secret<String>, CallError> {
    let hash =
        argon2.hash_password(password).map_err(|_| CallError::internal("A password could not be hashed."))?;
    Ok(Secret::new(hash.to_string()))
}

/// Whether a password may be chosen; the error says what is asked.
pub fn check_form(password: &str) -> Result<(), CallError> {
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        let what = format!(
            "A password takes at least {PASSWORD_CHARS_MIN} characters, and at most {PASSWORD_BYTES_MAX} bytes."
        );
        return Err(CallError::new(ErrorCode::InvalidArgument, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> Passwords {
        Passwords::start(1, Cost { memory_kib: 64, passes: 1 }).expect("threads")
    }

    #[tokio::test]
    async fn a_password_is_its_own_and_no_other() {
        let passwords = cheap();
        let hash = passwords.hash("correct horse").await.expect("a hash");
        assert!(hash.expose().starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{}", hash.expose());
        assert!(passwords.verify("correct horse", Some(&hash)).await.expect("an answer"));
        assert!(!passwords.verify("Correct horse", Some(&hash)).await.expect("an answer"));
        assert!(!passwords.verify("nobody has this password", None).await.expect("an answer"));
        assert!(!passwords.verify(&"x".repeat(9_999), Some(&hash)).await.expect("an answer"));
        let garbage = Secret::new("no hash".to_owned());
        assert!(!passwords.verify("correct horse", Some(&garbage)).await.expect("an answer"));
    }

    #[tokio::test]
    async fn passwords_that_may_not_be_chosen_are_refused() {
        let passwords = cheap();
        for bad in ["", "seven77", &"x".repeat(1_025)] {
            let error = passwords.hash(bad).await.expect_err("refused");
            assert_eq!(error.code, ErrorCode::InvalidArgument);
        }
    }

    #[tokio::test]
    async fn more_than_can_wait_is_refused_and_the_rest_goes_on() {
        let passwords = cheap();
        let (go, hold) = sync_channel::<()>(0);
        let held = passwords.run(move |_| hold.recv().is_ok());
        let mut held = std::pin::pin!(held);
        assert!(futures_util::poll!(held.as_mut()).is_pending());
        let mut waiting: Vec<_> = (0..=WAITING_MAX + 1).map(|_| Box::pin(passwords.run(|_| ()))).collect();
        let mut refused = 0;
        for call in &mut waiting {
            if let std::task::Poll::Ready(Err(error)) = futures_util::poll!(call.as_mut()) {
                assert_eq!(error.code, ErrorCode::ResourceExhausted);
                refused += 1;
            }
        }
        assert!((2..=3).contains(&refused), "{refused}: the thread may have taken the first already");
        go.send(()).expect("it waits");
        assert!(held.await.expect("an answer"));
        passwords.run(|_| ()).await.map_err(|error| error.code).ok();
    }
}
