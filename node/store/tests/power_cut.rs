//! Power cuts: the store writes to ext4 on a loop device; at some instant the image is copied as it
//! is, with what had reached the block layer and nothing else, and a store is opened from the copy.
//! Needs root, mkfs.ext4 and loop devices; without them the tests fail: a guarantee that was not tried is not kept.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use common::{
    disk,
    model::{Known, Model},
    open,
    writer::{self, Lines, NEXT, PAUSE},
};
use tempfile::TempDir;

/// Bytes of the image; sparse.
const IMAGE: u64 = 256 << 20;
/// Cuts of one file system.
const CUTS: u32 = 10;
/// File systems.
const ROUNDS: u32 = 5;

/// The child of the tests below; alone it does nothing.
#[test]
fn writer_process() {
    writer::run_if_child();
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let started = Instant::now();
    let (mut cuts, mut acknowledged) = (0, 0);
    for _ in 0..ROUNDS {
        let mut machine = Machine::start(None);
        for _ in 0..CUTS {
            machine.work(Duration::from_millis(100));
            machine.cut().unwrap();
            cuts += 1;
        }
        acknowledged += machine.model.done.len();
    }
    println!("{cuts} cuts, {acknowledged} acknowledged, {} ms", started.elapsed().as_millis());
    assert!(acknowledged > 10 * ROUNDS as usize, "the writers hardly came to write");
}

#[test]
fn a_missing_sync_of_the_log_or_of_the_body_log_is_found_out() {
    for unsynced in [".segment", ".bodies"] {
        let mut machine = Machine::start(Some(unsynced));
        let lost = (0..CUTS).find_map(|_| {
            machine.work(Duration::from_millis(200));
            machine.cut().err()
        });
        println!("without syncs of {unsynced}: {lost:?}");
        assert!(lost.is_some(), "without syncs of {unsynced} nothing was lost: the test is blind");
    }
}

/// A machine whose power can be cut.
struct Machine {
    child: Child,
    lines: Lines,
    model: Model,
    _mount: Mount,
    folder: TempDir,
    cuts: u32,
}

impl Machine {
    fn start(unsynced: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        make_image(&image).expect("mkfs.ext4 makes the image: install e2fsprogs");
        let mount = Mount::new(&image, folder.path().join("mount"))
            .expect("mounting the image needs root and loop devices");
        let mut variables = vec![(NEXT, "1".to_owned()), (PAUSE, "2".to_owned())];
        variables.extend(unsynced.map(|text| (disk::NO_SYNC, text.to_owned())));
        let (child, lines) = writer::spawn("writer_process", &mount.0, &variables);
        let mut model = Model::default();
        model.hear(lines.until_ready());
        Self { child, lines, model, _mount: mount, folder, cuts: 0 }
    }

    fn work(&mut self, time: Duration) {
        std::thread::sleep(time);
        self.model.hear(self.lines.so_far());
    }

    /// Copies the image and compares the copy with what was acknowledged before.
    fn cut(&mut self) -> Result<(), String> {
        // stopped, so that the copy shows one instant
        self.signal("-STOP");
        std::thread::sleep(Duration::from_millis(20));
        self.model.hear(self.lines.so_far());
        // A file of its own each time: the last copy may still be mounted (see `Mount::drop`), and what is written
        // back there must not reach this one.
        self.cuts += 1;
        let copy = self.folder.path().join(format!("copy-{}", self.cuts));
        let copied = self.folder.path().join(format!("copied-{}", self.cuts));
        copy_of_one_instant(&self.folder.path().join("image"), &copy);
        self.signal("-CONT");
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the child ended by itself ({status}): {}", self.lines.errors());
        }
        // not a loss: it would make a test that waits for one see it
        let mount = Mount::new(&copy, copied).unwrap();
        std::fs::remove_file(&copy).unwrap();
        verify(&mount.0, &self.model)
    }

    fn signal(&self, signal: &str) {
        run("kill", &[signal, &self.child.id().to_string()]).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn verify(folder: &Path, model: &Model) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let opened = open(disk::environment(), folder).await;
        let (node, store) = opened.map_err(|error| error.to_string())?;
        let outcome = model.check(&store, &mut Known::default()).await;
        node.shutdown().await.map_err(|error| error.to_string())?;
        outcome
    })
}

/// Copies again until nothing was written meanwhile (the kernel may write back at any time): a copy
/// of several instants would show what no power cut can leave.
///
/// The loop device counts its writes and knows those under way; time stamps of the image do not do, because
/// they change before the data arrives.
fn copy_of_one_instant(image: &Path, copy: &Path) {
    let name = loop_device(image);
    let writes = || {
        let stat = std::fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
        let fields: Vec<u64> =
            stat.split_whitespace().map(|field| field.parse().unwrap()).collect();
        // writes completed, and requests under way (Documentation/block/stat)
        (fields[4], fields[8])
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let before = writes();
        if before.1 == 0 {
            // reads every byte: where the holes of a file are that is being written back is not to be trusted
            let (from, to) = (format!("if={}", text(image)), format!("of={}", text(copy)));
            run("dd", &[&from, &to, "bs=1M", "conv=sparse", "status=none"]).unwrap();
            if writes() == before {
                return;
            }
        }
        assert!(Instant::now() < deadline, "the image never rests");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Name of the loop device that the image is mounted by, such as `loop0`.
fn loop_device(image: &Path) -> String {
    let output = Command::new("losetup").args(["-n", "-O", "NAME", "-j", &text(image)]).output();
    let name = String::from_utf8(output.unwrap().stdout).unwrap();
    name.trim().strip_prefix("/dev/").expect("the image has a loop device").to_owned()
}

fn make_image(path: &Path) -> Result<(), String> {
    let file = std::fs::File::create(path).map_err(|error| error.to_string())?;
    file.set_len(IMAGE).map_err(|error| error.to_string())?;
    run("mkfs.ext4", &["-q", "-E", "nodiscard,lazy_itable_init=0", &text(path)])
}

/// A mounted image; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(image: &Path, at: PathBuf) -> Result<Self, String> {
        std::fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match run("mount", &["-o", "loop", &text(image), &text(&at)]) {
                Ok(()) => return Ok(Self(at)),
                // another test may have got the free loop device first
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // what still holds it open is about to end
        let _ = run("umount", &["-l", &text(&self.0)]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
