//! Two or more stores and a directory in one place; everything that is asked of them counts, and can fail
//! before or after it took effect.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use posthouse_cluster::{Environment, GroupId, env::BoxFuture};

use super::*;
use crate::{
    Driver, Ledger, MarkError, MoveEnd, MoveError, MoveId, Pace, Places, Standing, StoreError,
    Wish, machine,
};

/// A question that gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not arrive.
    Before(usize),
    /// Its answer does not arrive.
    After(usize),
}

/// Called before each question, as what happens meanwhile.
pub(crate) type Meanwhile = Box<dyn FnMut(&mut Inner) + Send>;

/// What is the case.
pub(crate) struct Inner {
    pub benches: BTreeMap<u64, Bench>,
    /// Where the directory says that mailboxes are.
    pub place: BTreeMap<MailboxId, u64>,
    pub moves: BTreeMap<MoveId, (Wish, Standing, bool)>,
    /// Questions so far.
    pub asked: usize,
    pub fault: Option<Fault>,
    /// Names of the questions, for tables of steps.
    pub names: Vec<&'static str>,
    pub failed: Vec<String>,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct World {
    pub inner: Arc<Mutex<Inner>>,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

impl World {
    /// With Ada's mailbox in store 1, and stores 1 to `stores`.
    pub(crate) fn new(stores: u64) -> Self {
        let benches = (1..=stores).map(|id| (id, Bench::of_store(id))).collect();
        let inner = Inner {
            benches,
            place: [(ADA, 1), (BOB, 1)].into(),
            moves: BTreeMap::new(),
            asked: 0,
            fault: None,
            names: Vec::new(),
            failed: Vec::new(),
        };
        let world = Self { inner: Arc::new(Mutex::new(inner)), meanwhile: Arc::default() };
        world.with(|inner| {
            let quota = Quota { bytes: Some(50 << 20), items: None };
            inner.bench(1).done(Request::CreateMailbox { mailbox: ADA, quota });
            inner.bench(1).done(Request::CreateMailbox { mailbox: BOB, quota });
        });
        world
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock())
    }

    pub(crate) fn meanwhile(&self, act: impl FnMut(&mut Inner) + Send + 'static) {
        *self.meanwhile.lock() = Some(Box::new(act));
    }

    pub(crate) fn nothing_meanwhile(&self) {
        *self.meanwhile.lock() = None;
    }

    /// Asks for a move.
    pub(crate) fn wish(&self, id: u128, mailbox: MailboxId, to: u64) -> Wish {
        self.with(|inner| {
            let from = GroupId(inner.place[&mailbox]);
            let wish = Wish { id: MoveId(id << 64 | 1), mailbox, from, to: GroupId(to) };
            inner.moves.insert(wish.id, (wish, Standing::Wanted, false));
            wish
        })
    }

    pub(crate) fn driver(&self, wish: Wish) -> Driver {
        let world = Arc::new(self.clone());
        let mine = Arc::new(|| true);
        Driver::new(Environment::real(), world.clone(), world, wish, Pace::default(), mine)
    }

    /// A driver runs until it stops.
    pub(crate) async fn drive(&self, wish: Wish) -> Result<MoveEnd, MoveError> {
        self.driver(wish).drive().await
    }

    /// Drivers run, one after the other, until the move is over.
    pub(crate) async fn drive_to_the_end(&self, wish: Wish) -> MoveEnd {
        let mut why = Vec::new();
        for _ in 0..20 {
            match self.drive(wish).await {
                Ok(end) => return end,
                Err(MoveError::Later(reason)) => why.push(reason),
            }
        }
        panic!("the move does not end: {why:?}");
    }

    /// Everything that must be true of stores that no move is under way in.
    pub(crate) fn check(&self) {
        self.with(|inner| {
            for (id, bench) in &inner.benches {
                machine::fuzz::check(bench.reader(), &format!("store {id}"));
                assert_eq!(bench.rows("arriving_folders"), 0, "store {id}");
            }
            let mut homes = BTreeMap::<Vec<u8>, u64>::new();
            for (id, bench) in &inner.benches {
                let mut found = bench.reader().prepare("SELECT uuid FROM mailboxes").unwrap();
                for name in found.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap() {
                    let twice = homes.insert(name.unwrap(), *id);
                    assert_eq!(twice, None, "a mailbox is in store {id} as well");
                }
            }
            for (mailbox, place) in &inner.place {
                assert_eq!(homes.remove(mailbox.0.as_bytes().as_slice()), Some(*place));
            }
            assert!(homes.is_empty(), "left over: {homes:?}");
        });
    }

    /// Something happens, then the question may get lost.
    fn enter<T>(
        &self,
        name: &'static str,
        act: impl FnOnce(&mut Inner) -> T,
    ) -> Result<T, StoreError> {
        let lost = || StoreError::Unavailable("lost".into());
        let mut meanwhile = self.meanwhile.lock().take();
        let mut inner = self.inner.lock();
        if let Some(act) = &mut meanwhile {
            act(&mut inner);
        }
        inner.asked += 1;
        inner.names.push(name);
        let asked = inner.asked;
        let outcome = match inner.fault {
            Some(Fault::Before(at)) if at == asked => Err(lost()),
            fault => {
                let answer = act(&mut inner);
                if fault == Some(Fault::After(asked)) { Err(lost()) } else { Ok(answer) }
            }
        };
        drop(inner);
        let mut place = self.meanwhile.lock();
        if place.is_none() {
            *place = meanwhile;
        }
        outcome
    }
}

impl Inner {
    pub(crate) fn bench(&mut self, store: u64) -> &mut Bench {
        self.benches.get_mut(&store).unwrap()
    }

    /// What the directory says after a mark.
    pub(crate) fn mark(&mut self, id: MoveId, mark: &Mark) -> Standing {
        let Some((wish, standing, switching)) = self.moves.get_mut(&id) else {
            return Standing::Unknown;
        };
        match (*standing, mark) {
            (Standing::Wanted, Mark::Running) => *switching = false,
            (Standing::Wanted, Mark::Switching) => *switching = true,
            (Standing::Wanted, Mark::Moved) if *switching => {
                *standing = Standing::Moved;
                self.place.insert(wish.mailbox, wish.to.0);
            }
            (Standing::Wanted, Mark::Ending) => *standing = Standing::Ending,
            (Standing::Wanted | Standing::Ending, Mark::Ended) => *standing = Standing::Ended,
            (Standing::Wanted | Standing::Ending, Mark::Failed(why)) => {
                *standing = Standing::Ended;
                self.failed.push(why.clone());
            }
            _ => {}
        }
        *standing
    }
}

fn name_of(request: &Request) -> &'static str {
    use crate::{Export, MoveStep, Portion};
    match request {
        Request::Moving(step) => match step {
            MoveStep::Leave { .. } => "leave",
            MoveStep::Freeze { .. } => "freeze",
            MoveStep::Abandon { .. } => "abandon",
            MoveStep::Close { .. } => "close",
            MoveStep::Part { .. } => "part",
            MoveStep::Erase { .. } => "erase",
            MoveStep::Arrive { .. } => "arrive",
            MoveStep::Drop { .. } => "drop",
            MoveStep::Activate { .. } => "activate",
            MoveStep::Import { parts, .. } if parts.len() > 1 => "import last round",
            MoveStep::Import { parts, .. } => match &parts[0] {
                Portion::Mailbox(_) => "import mailbox",
                Portion::Folders(_) => "import folders",
                Portion::FoldersGone(_) => "import folders gone",
                Portion::Items { .. } => "import items",
                Portion::Tombstones { .. } => "import tombstones",
                Portion::Retain { .. } => "import uids",
                Portion::Answers { .. } => "import answers",
                Portion::Deliveries { .. } => "import deliveries",
            },
        },
        Request::Export(Export::Digests { .. }) => "digests",
        Request::Export(_) => "export",
        _ => "read",
    }
}

impl Places for World {
    fn call(&self, store: GroupId, call: Call) -> BoxFuture<Result<Response, StoreError>> {
        let name = name_of(&call.request);
        let answer = self.enter(name, |inner| inner.bench(store.0).call(call));
        Box::pin(async move { answer })
    }
}

impl Ledger for World {
    fn wishes(&self) -> Vec<Wish> {
        self.with(|inner| {
            let open = inner
                .moves
                .values()
                .filter(|(_, standing, _)| matches!(standing, Standing::Wanted | Standing::Ending));
            open.map(|(wish, _, _)| *wish).collect()
        })
    }

    fn standing(&self, id: MoveId) -> Standing {
        self.with(|inner| inner.moves.get(&id).map_or(Standing::Unknown, |one| one.1))
    }

    fn mark(&self, id: MoveId, mark: Mark) -> BoxFuture<Result<Standing, MarkError>> {
        let name = match &mark {
            Mark::Running => "mark running",
            Mark::Switching => "mark switching",
            Mark::Moved => "mark moved",
            Mark::Ending => "mark ending",
            Mark::Ended | Mark::Failed(_) => "mark ended",
        };
        let answer = self.enter(name, |inner| inner.mark(id, &mark));
        let answer = answer.map_err(|error| MarkError::Unavailable(error.to_string()));
        Box::pin(async move { answer })
    }
}
