//! Read-only connections on threads of their own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, mpsc},
};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use crate::MachineError;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A fixed pool of read-only connections to one database. Cheap to clone.
#[derive(Clone)]
pub struct Readers {
    jobs: mpsc::Sender<Job>,
}

impl Readers {
    /// Opens `count` read-only connections (at least one), each on a thread of its own. The threads
    /// end with the last clone.
    pub fn open(path: &Path, count: usize) -> Result<Self, MachineError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..count.max(1) {
            let connection = Connection::open_with_flags(
                path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?;
            super::prepare(&connection)?;
            let queue = queue.clone();
            std::thread::Builder::new()
                .name(format!("reader-{number}"))
                .spawn(move || serve(connection, &queue))?;
        }
        Ok(Self { jobs })
    }

    /// Runs `query` on a free connection inside one read transaction, so that it sees one state.
    pub async fn read<T, F>(&self, query: F) -> Result<T, MachineError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, MachineError> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // whoever asked may have gone away meanwhile: save the work
            if !answer.is_closed() {
                let _ = answer.send(in_transaction(connection, query));
            }
        });
        let gone = || MachineError::Storage("the readers have ended".into());
        self.jobs.send(job).map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

fn serve(mut connection: Connection, queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = match queue.lock().recv() {
            Ok(job) => job,
            Err(mpsc::RecvError) => return,
        };
        job(&mut connection);
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    query: impl FnOnce(&Connection) -> Result<T, MachineError>,
) -> Result<T, MachineError> {
    // dropped without commit: a read transaction has nothing to keep
    let transaction = connection.transaction()?;
    catch_unwind(AssertUnwindSafe(|| query(&transaction)))
        .unwrap_or_else(|_| Err(MachineError::Storage("a query panicked".into())))
}
