//! Work that blocks or burns processor time, bounded in both: so many at once, so many waiting.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

/// Longest wait for a place. A client has given up by then.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// There was no place in time, or the work itself broke down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overloaded;

/// A bounded share of the runtime's blocking threads.
pub(crate) struct Pool {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

impl Pool {
    /// So many at once, and so many waiting behind them.
    pub(crate) fn new(concurrent: usize, waiting: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(concurrent)),
            admitted: Arc::new(Semaphore::new(concurrent + waiting)),
        }
    }

    /// One more than there are processors: a thread that waits for memory or disk costs nobody else.
    pub(crate) fn per_core(waiting: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(cores + 1, waiting)
    }

    /// Runs `work` on a blocking thread. The place is kept until the work ends, even if the caller is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| Overloaded)?;
        let running = tokio::time::timeout(LONGEST_WAIT, self.running.clone().acquire_owned())
            .await
            .map_err(|_| Overloaded)?
            .map_err(|_| Overloaded)?;
        tokio::task::spawn_blocking(move || {
            let _places = (admitted, running);
            work()
        })
        .await
        .map_err(|_| Overloaded)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn more_work_than_places_is_refused_at_once() {
        let pool = Arc::new(Pool::new(1, 1));
        let (release, gate) = mpsc::channel::<()>();
        let (started, begun) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run(move || {
                    let _ = started.send(());
                    gate.recv()
                })
                .await
            }
        });
        begun.await.unwrap();
        let second = pool.run(|| 2);
        tokio::pin!(second);
        assert!(futures_poll_once(second.as_mut()).await.is_none());
        assert_eq!(pool.run(|| 3).await, Err(Overloaded));
        release.send(()).unwrap();
        assert_eq!(second.await, Ok(2));
        assert!(first.await.unwrap().is_ok());
        assert_eq!(pool.run(|| 4).await, Ok(4));
    }

    async fn futures_poll_once<F: Future>(future: F) -> Option<F::Output> {
        tokio::time::timeout(Duration::from_millis(20), future).await.ok()
    }
}
