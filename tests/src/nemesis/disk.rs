//! A file system for each node: a file with ext4 in it, mounted by loop. It can be full and read-only, and nobody else
//! notices.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// A mounted file. Dropped: unmounted.
pub struct Disk {
    mount: PathBuf,
    image: PathBuf,
    number: u32,
    ballast: PathBuf,
    read_only: bool,
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{program} is missing"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), error.trim());
    Ok(())
}

impl Disk {
    /// Makes a file system of so many megabytes in `folder` and mounts it there.
    pub fn new(folder: &Path, megabytes: u64) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (image, mount) = (folder.join("image"), folder.join(MOUNT));
        fs::create_dir_all(&mount)?;
        fs::File::create(&image)?.set_len(megabytes << 20)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &text(&image)])?;
        run("mount", &["-o", "loop", &text(&image), &text(&mount)])?;
        let ballast = mount.join("ballast");
        Ok(Self { mount, image, number: 0, ballast, read_only: false })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Takes all space that is left.
    pub fn fill(&self) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.ballast)?;
        let mut piece = vec![0x5a; 8 << 20];
        while piece.len() >= 4096 {
            // fails in the end, as it should
            if file.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 4);
            }
        }
        Ok(())
    }

    /// Gives it back.
    pub fn free(&self) -> Result<()> {
        if self.ballast.exists() {
            fs::remove_file(&self.ballast)?;
        }
        Ok(())
    }

    /// Makes the block device refuse to be written, as one that is broken does, or take writes again.
    pub fn freeze_writes(&mut self, read_only: bool) -> Result<()> {
        if self.read_only == read_only {
            return Ok(());
        }
        let mount = self.mount.to_string_lossy().into_owned();
        if read_only {
            // what ext4 does to itself after an error; an ordinary remount is refused while files are open
            run("mount", &["-o", "remount,abort", &mount])?;
        } else {
            run("umount", &[&mount])?;
            // Into another file: while some other process still has the mount in a namespace of its own, the old
            // file system stays in the kernel as it broke.
            self.number += 1;
            let old = std::mem::replace(
                &mut self.image,
                self.mount.with_file_name(format!("image-{}", self.number)),
            );
            let image = self.image.to_string_lossy().into_owned();
            run("cp", &["--sparse=always", &old.to_string_lossy(), &image])?;
            fs::remove_file(old)?;
            // replays the journal; 1 says "mended"
            let status =
                Command::new("e2fsck").args(["-p", &image]).stdout(Stdio::null()).status()?;
            ensure!(matches!(status.code(), Some(0 | 1)), "e2fsck ended with {status}");
            run("mount", &["-o", "loop", &image, &mount])?;
        }
        self.read_only = read_only;
        Ok(())
    }
}

/// Name of the mount within the folder of a disk.
const MOUNT: &str = "disk";

/// Unmounts the disk of a folder, if it is mounted.
pub fn unmount(folder: &Path) {
    let _ = run("umount", &["-l", &folder.join(MOUNT).to_string_lossy()]);
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(folder) = self.mount.parent() {
            unmount(folder);
        }
    }
}
