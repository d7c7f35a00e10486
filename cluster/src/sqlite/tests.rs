use super::*;

const STEPS: &[Migration] =
    &["CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT"];

fn put(database: &mut Database, index: u64, name: &str) {
    let transaction = database.connection().transaction().unwrap();
    transaction
        .execute("INSERT INTO item (id, name) VALUES (?1, ?2)", (index as i64, name))
        .unwrap();
    let applied = Applied { index, opaque: vec![7; 3] };
    Database::set_applied(&transaction, &applied).unwrap();
    transaction.commit().unwrap();
}

fn names(connection: &Connection) -> Vec<String> {
    let mut statement = connection.prepare("SELECT name FROM item ORDER BY id").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn effect_and_position_survive_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut database = Database::open(&path, STEPS).unwrap();
    assert_eq!(database.applied().unwrap(), None);
    put(&mut database, 5, "a");
    database.checkpoint().unwrap();
    assert_eq!(fs::metadata(wal_of(&path)).map_or(0, |m| m.len()), 0, "the WAL was emptied");
    drop(database);
    let mut database = Database::open(&path, STEPS).unwrap();
    assert_eq!(database.applied().unwrap(), Some(Applied { index: 5, opaque: vec![7; 3] }));
    assert_eq!(names(database.connection()), ["a"]);
}

#[test]
fn steps_run_once_and_a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(Database::open(&path, STEPS).unwrap());
    let two: Vec<Migration> =
        STEPS.iter().copied().chain(["ALTER TABLE item ADD size INT"]).collect();
    drop(Database::open(&path, &two).unwrap());
    drop(Database::open(&path, &two).unwrap());
    assert!(matches!(Database::open(&path, STEPS), Err(MachineError::Corrupt(_))));
}

#[test]
fn a_failing_step_leaves_the_old_schema() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(Database::open(&path, STEPS).unwrap());
    let bad = [STEPS[0], "ALTER TABLE item ADD size INT; SELECT nonsense"];
    assert!(Database::open(&path, &bad).is_err());
    let database = Database::open(&path, STEPS).unwrap();
    assert!(database.connection.prepare("SELECT size FROM item").is_err());
}

#[tokio::test]
async fn an_installed_copy_replaces_everything_and_open_readers_see_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = Database::open(&folder.path().join("one"), STEPS).unwrap();
    let mut two = Database::open(&folder.path().join("two"), STEPS).unwrap();
    put(&mut one, 1, "a");
    put(&mut one, 2, "b");
    put(&mut two, 9, "z");
    let readers = Readers::open(two.path(), 2).unwrap();
    assert_eq!(readers.read(|c| Ok(names(c))).await.unwrap(), ["z"]);
    let copy = folder.path().join("copy");
    one.snapshot(&copy).unwrap();
    put(&mut one, 3, "c");
    two.install(&copy).unwrap();
    assert_eq!(readers.read(|c| Ok(names(c))).await.unwrap(), ["a", "b"]);
    assert_eq!(two.applied().unwrap().unwrap().index, 2);
    put(&mut two, 3, "d");
    assert_eq!(readers.read(|c| Ok(names(c))).await.unwrap(), ["a", "b", "d"]);
    assert!(one.snapshot(&copy).is_err(), "an existing file is not overwritten");
}

#[test]
fn a_copy_of_an_older_program_is_brought_up_to_date_and_one_of_a_newer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let two: Vec<Migration> =
        STEPS.iter().copied().chain(["ALTER TABLE item ADD size INT"]).collect();
    let mut old = Database::open(&folder.path().join("old"), STEPS).unwrap();
    let mut new = Database::open(&folder.path().join("new"), &two).unwrap();
    put(&mut old, 4, "a");
    let copies = ["from-old", "from-new"].map(|name| folder.path().join(name));
    old.snapshot(&copies[0]).unwrap();
    new.snapshot(&copies[1]).unwrap();
    new.install(&copies[0]).unwrap();
    assert_eq!(names(new.connection()), ["a"]);
    assert_eq!(new.applied().unwrap().unwrap().index, 4);
    assert!(new.connection.prepare("SELECT size FROM item").is_ok());
    assert!(old.install(&copies[1]).is_err());
    assert_eq!(names(old.connection()), ["a"]);
}

#[test]
fn a_damaged_copy_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut database = Database::open(&folder.path().join("db"), STEPS).unwrap();
    put(&mut database, 1, "a");
    let copy = folder.path().join("copy");
    fs::write(&copy, [0x5a; 8192]).unwrap();
    assert!(database.install(&copy).is_err());
    assert_eq!(names(database.connection()), ["a"]);
}

#[tokio::test]
async fn a_reader_sees_one_state_cannot_write_and_survives_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut database = Database::open(&folder.path().join("db"), STEPS).unwrap();
    put(&mut database, 1, "a");
    let readers = Readers::open(database.path(), 1).unwrap();
    let written = readers.read(|c| Ok(c.execute("DELETE FROM item", [])?)).await;
    assert!(written.is_err());
    let panicked = readers.read(|_| -> Result<(), _> { panic!("in a test") }).await;
    assert!(panicked.is_err());
    let (first, rest) = std::sync::mpsc::channel();
    let (go, gone) = std::sync::mpsc::channel();
    let held = tokio::spawn(async move {
        readers
            .read(move |c| {
                first.send(names(c)).unwrap();
                gone.recv().unwrap();
                Ok(names(c))
            })
            .await
    });
    let seen = tokio::task::spawn_blocking(move || rest.recv().unwrap()).await.unwrap();
    put(&mut database, 2, "b");
    database.checkpoint().unwrap();
    go.send(()).unwrap();
    assert_eq!(held.await.unwrap().unwrap(), seen);
}
