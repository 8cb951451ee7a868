//! Real components for the live tests, each started by hand and ended by its
//! own process id. Where one cannot run, the test says why and returns; with
//! `CI=true` it fails instead.

#![allow(clippy::disallowed_methods, reason = "the real components are started here")]

use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

const JOURNALD: &str = "/lib/systemd/systemd-journald";
const JOURNAL_REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// A systemd-journald in a mount namespace of its own; the host's journal is
/// not touched. Its files are in `store`.
pub struct Journald {
    child: Child,
    /// Where its machine directory is.
    pub store: PathBuf,
    cgroups: Vec<PathBuf>,
    configuration: String,
    dir: Option<tempfile::TempDir>,
}

/// A process in a unit's cgroup whose standard output is a journal stream (or,
/// for native messages, merely a process id).
pub struct JournaldWriter {
    child: Child,
    stdin: Option<ChildStdin>,
}

/// Says that a test cannot run here; fails in CI.
pub fn journald_skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot run here: {why}");
    eprintln!("skipped: {why}");
}

/// Polls until `ready`, or fails after 20 s.
#[track_caller]
pub fn journald_until(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !ready() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts a journald with these lines in its `[Journal]` section; `None` where
/// that is impossible.
pub fn journald_start(configuration: &str) -> Option<Journald> {
    // journald removes what it has flushed from a tmpfs only.
    let place =
        if configuration.contains("Storage=auto") { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    journald_start_in(tempfile::tempdir_in(place).unwrap(), configuration)
}

fn journald_start_in(dir: tempfile::TempDir, configuration: &str) -> Option<Journald> {
    if !Path::new(JOURNALD).exists() || !Path::new("/etc/machine-id").exists() {
        journald_skip("systemd-journald is not installed");
        return None;
    }
    let store = dir.path().join("store");
    // What is written before the flush to `/var` stands beside it, in a folder
    // that is named as a machine's.
    let early = store.join("0123456789abcdef0123456789abcdef");
    fs::create_dir_all(&early).unwrap();
    let is_flushed = !configuration.contains("Storage=auto");
    let script = format!(
        "set -e
        mount --make-rprivate /
        mount -t tmpfs tmpfs /run/systemd
        mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /var/log/journal /run/log
        {} /run/systemd/journal/flushed
        printf '[Journal]\\nStorage=persistent\\nReadKMsg=no\\nAudit=no\\nForwardToSyslog=no\\nSystemKeepFree=1M\\nRuntimeKeepFree=1M\\n{}\\n' \
            > /run/systemd/journald.conf.d/test.conf
        mount --bind '{}' /var/log/journal
        mount -t tmpfs tmpfs /run/log
        mkdir -p /run/log/journal/$(cat /etc/machine-id)
        mount --bind '{}' /run/log/journal/$(cat /etc/machine-id)
        exec {JOURNALD}",
        if is_flushed { "touch" } else { "rm -f" },
        configuration.replace('\n', "\\n"),
        store.display(),
        early.display()
    );
    let mut child =
        Command::new("unshare").args(["-m", "sh", "-c", &script]).stdin(Stdio::null()).spawn().unwrap();
    let configuration = configuration.to_owned();
    let socket = PathBuf::from(format!("/proc/{}/root/run/systemd/journal/stdout", child.id()));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            journald_skip(&format!(
                "systemd-journald does not start in a mount namespace (needs root): {status}"
            ));
            return None;
        }
        if socket.exists() && journald_files(&store) > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "journald does not come up");
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(Journald { child, store, cgroups: Vec::new(), configuration, dir: Some(dir) })
}

fn journald_files(store: &Path) -> usize {
    let machines = fs::read_dir(store).into_iter().flatten().flatten();
    machines
        .filter_map(|machine| fs::read_dir(machine.path()).ok())
        .map(|files| files.flatten().count())
        .sum()
}

impl Journald {
    /// Its process id, which names its mount namespace.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts a process in `system.slice/UNIT` that logs what it is given.
    pub fn writer(&mut self, unit: &str) -> JournaldWriter {
        let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .map(PathBuf::from)
            .into_iter()
            .find(|root| root.join("cgroup.procs").exists())
            .expect("a cgroup2 hierarchy");
        let group = root.join("system.slice").join(unit);
        fs::create_dir_all(&group).unwrap();
        self.cgroups.push(group.clone());
        let script =
            format!("echo $$ > '{}/cgroup.procs' && exec systemd-cat -t python cat", group.display());
        let mut child = Command::new("nsenter")
            .args(["-t", &self.child.id().to_string(), "-m", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let comm = format!("/proc/{}/comm", child.id());
        journald_until("the writer", || fs::read_to_string(&comm).is_ok_and(|name| name == "cat\n"));
        JournaldWriter { child, stdin }
    }

    /// Sends a native message in the name of `pid` (root may), through a
    /// sealed memory file, as `sd_journal_sendv` sends long ones.
    pub fn native(&self, pid: u32, fields: &[(&str, &[u8])]) {
        let mut text = Vec::new();
        journald_binary(&mut text, fields);
        // SAFETY: plain system calls on a descriptor that is owned right away.
        let memory = unsafe {
            let fd = libc::memfd_create(c"message".as_ptr(), libc::MFD_ALLOW_SEALING | libc::MFD_CLOEXEC);
            assert!(fd >= 0);
            OwnedFd::from_raw_fd(fd)
        };
        fs::File::from(memory.try_clone().unwrap()).write_all(&text).unwrap();
        let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
        // SAFETY: as above.
        assert_eq!(unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(format!("/proc/{}/root/run/systemd/journal/socket", self.child.id())).unwrap();
        let credentials = libc::ucred { pid: pid as i32, uid: 0, gid: 0 };
        send_with(&socket, memory.as_raw_fd(), credentials);
    }

    /// Starts new files, as `journalctl --rotate` does.
    pub fn rotate(&self) {
        let archived = || {
            let machines = fs::read_dir(&self.store).unwrap().flatten();
            machines
                .flat_map(|m| fs::read_dir(m.path()).unwrap().flatten())
                .filter(|f| f.file_name().to_string_lossy().contains('@'))
                .count()
        };
        let before = archived();
        // SAFETY: signals our own child.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGUSR2) };
        journald_until("the rotation", || archived() > before);
    }

    /// Runs `work` on a thread that sees the files as this journald does.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = fs::File::open(format!("/proc/{}/ns/mnt", self.child.id())).unwrap();
        let enter = move || {
            // SAFETY: both change the calling thread alone.
            unsafe {
                assert_eq!(libc::unshare(libc::CLONE_FS), 0);
                assert_eq!(libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS), 0);
            }
            work()
        };
        std::thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }

    /// Kills it and starts another one on the same files.
    pub fn crash(mut self) -> Journald {
        let _ = self.child.kill();
        let _ = self.child.wait();
        journald_start_in(self.dir.take().unwrap(), &self.configuration).unwrap()
    }

    /// Moves what was written below `/run` to `/var`, as at the end of a boot.
    pub fn flush(&self) {
        let early = self.store.join("0123456789abcdef0123456789abcdef");
        // SAFETY: signals our own child.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGUSR1) };
        journald_until("the flush", || fs::read_dir(&early).into_iter().flatten().count() == 0);
    }

    /// Removes all archived files, as vacuuming does.
    pub fn vacuum(&self) {
        for machine in fs::read_dir(&self.store).unwrap().flatten() {
            for file in fs::read_dir(machine.path()).unwrap().flatten() {
                if file.file_name().to_string_lossy().contains('@') {
                    fs::remove_file(file.path()).unwrap();
                }
            }
        }
    }
}

/// One datagram without bytes of its own: a descriptor and credentials.
fn send_with(socket: &UnixDatagram, fd: i32, credentials: libc::ucred) {
    // SAFETY: the control buffer is aligned, large enough for both parts, and
    // outlives the call.
    unsafe {
        let mut control = [0u64; 16];
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_control = control.as_mut_ptr().cast();
        let space = libc::CMSG_SPACE(4) + libc::CMSG_SPACE(size_of::<libc::ucred>() as u32);
        header.msg_controllen = space as _;
        let first = libc::CMSG_FIRSTHDR(&header);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(first).cast::<i32>().write_unaligned(fd);
        let second = libc::CMSG_NXTHDR(&header, first);
        (*second).cmsg_level = libc::SOL_SOCKET;
        (*second).cmsg_type = libc::SCM_CREDENTIALS;
        (*second).cmsg_len = libc::CMSG_LEN(size_of::<libc::ucred>() as u32) as _;
        libc::CMSG_DATA(second).cast::<libc::ucred>().write_unaligned(credentials);
        let sent = libc::sendmsg(socket.as_raw_fd(), &header, 0);
        assert!(sent >= 0, "{}", std::io::Error::last_os_error());
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for group in &self.cgroups {
            let _ = fs::remove_dir(group);
        }
    }
}

impl JournaldWriter {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    /// Ends its input, and with it the process.
    pub fn end(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}

impl Drop for JournaldWriter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A journal file written by systemd-journal-remote, with any stamps.
pub struct JournaldRemote {
    child: Child,
    stdin: Option<ChildStdin>,
    file: PathBuf,
    entries: usize,
}

/// Starts a writer of `file`; `None` where that is impossible.
pub fn journald_remote(file: &Path) -> Option<JournaldRemote> {
    if !Path::new(JOURNAL_REMOTE).exists() {
        journald_skip("systemd-journal-remote is not installed");
        return None;
    }
    let mut child = Command::new(JOURNAL_REMOTE)
        .args(["-o", file.to_str().unwrap(), "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take();
    Some(JournaldRemote { child, stdin, file: file.to_owned(), entries: 0 })
}

impl JournaldRemote {
    /// Writes an entry, its stamps in seconds, and waits until it can be read.
    pub fn entry(&mut self, boot: u128, secs: u64, fields: &[(&str, &[u8])]) {
        let mut text = format!(
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={boot:032x}\n",
            secs * 1_000_000,
            secs * 1_000_000
        )
        .into_bytes();
        journald_binary(&mut text, fields);
        text.push(b'\n');
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(&text).unwrap();
        stdin.flush().unwrap();
        self.entries += 1;
        let (file, entries) = (self.file.clone(), self.entries);
        journald_until("the entry", || journald_count(&file) >= entries);
    }
}

impl Drop for JournaldRemote {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}

fn journald_count(file: &Path) -> usize {
    let file = file.to_str().unwrap();
    let Ok(mut journal) = systemd::journal::OpenFilesOptions::default().open_files([file]) else {
        return 0;
    };
    let mut count = 0;
    while journal.next().is_ok_and(|moved| moved > 0) {
        count += 1;
    }
    count
}

/// Appends fields in the binary form that the native protocol and the export
/// format share: name, line feed, 64-bit length, value, line feed.
fn journald_binary(text: &mut Vec<u8>, fields: &[(&str, &[u8])]) {
    for (name, value) in fields {
        text.extend_from_slice(name.as_bytes());
        text.push(b'\n');
        text.extend_from_slice(&(value.len() as u64).to_le_bytes());
        text.extend_from_slice(value);
        text.push(b'\n');
    }
}
