//! A dockerd of our own for tests, and what its containers wrote by its own
//! log files.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use tocsin::model::Channel;

const DEADLINE: Duration = Duration::from_secs(60);

/// A dockerd of our own; ended by its own pid when dropped.
pub struct Engine {
    dir: tempfile::TempDir,
    options: Vec<String>,
    /// In whose mount namespace it runs, by process id.
    beside: Option<u32>,
    dockerd: Mutex<Child>,
}

impl Engine {
    /// Starts it in a directory of its own, with one image, `busy`.
    pub fn start() -> Result<Engine, String> {
        Engine::with(&[], None)
    }

    /// One that many tests use, also at the same time, so nobody may end it; it
    /// ends with the program.
    pub fn shared() -> Result<Arc<Engine>, String> {
        static SHARED: Mutex<Option<Arc<Engine>>> = Mutex::new(None);
        extern "C" fn end_shared() {
            drop(SHARED.lock().unwrap_or_else(|e| e.into_inner()).take());
        }
        let mut shared = SHARED.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(engine) = &*shared {
            return Ok(engine.clone());
        }
        let engine = Arc::new(Engine::start()?);
        *shared = Some(engine.clone());
        // SAFETY: the function is there as long as the program, and does not panic.
        unsafe { libc::atexit(end_shared) };
        Ok(engine)
    }

    /// The same with further options, and in the mount namespace of a process.
    pub fn with(options: &[&str], beside: Option<u32>) -> Result<Engine, String> {
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            return Err("dockerd needs root".to_owned());
        }
        let dir = tempfile::Builder::new().prefix("dk").tempdir().map_err(|e| e.to_string())?;
        let options: Vec<String> = options.iter().map(|&o| o.to_owned()).collect();
        let dockerd = Mutex::new(launch(dir.path(), &options, beside)?);
        let engine = Engine { dir, options, beside, dockerd };
        engine.wait_until_up()?;
        engine.import_image()?;
        Ok(engine)
    }

    /// Its folder: socket `d.sock`, log `log`.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// As `host` of a source.
    pub fn socket(&self) -> String {
        format!("unix://{}/d.sock", self.dir.path().display())
    }

    fn wait_until_up(&self) -> Result<(), String> {
        let until = Instant::now() + DEADLINE;
        while self.try_docker(&["version"]).is_err() {
            if Instant::now() > until {
                let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                return Err(format!("dockerd does not come up: {log}"));
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(())
    }

    fn import_image(&self) -> Result<(), String> {
        let bin = self.dir.path().join("root/bin");
        std::fs::create_dir_all(&bin).map_err(|e| e.to_string())?;
        std::fs::copy("/bin/busybox", bin.join("busybox")).map_err(|e| format!("busybox: {e}"))?;
        for name in ["sh", "usleep", "head", "tr", "sleep", "seq", "cat", "yes"] {
            std::os::unix::fs::symlink("busybox", bin.join(name)).map_err(|e| e.to_string())?;
        }
        let tar = self.dir.path().join("root.tar");
        let made = Command::new("tar")
            .arg("-C")
            .arg(self.dir.path().join("root"))
            .arg("-cf")
            .arg(&tar)
            .arg(".")
            .status();
        if !made.is_ok_and(|s| s.success()) {
            return Err("tar failed".to_owned());
        }
        self.try_docker(&["import", &tar.display().to_string(), "busy"]).map(drop)
    }

    fn try_docker(&self, args: &[&str]) -> Result<String, String> {
        let program = if Path::new("/usr/bin/docker").exists() { "/usr/bin/docker" } else { "docker" };
        let out = Command::new(program)
            .args(["-H", &self.socket()])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("docker: {e}"))?;
        if out.status.success() {
            Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
        } else {
            Err(format!("docker {args:?}: {}", String::from_utf8_lossy(&out.stderr)))
        }
    }

    /// Runs the client; panics where it fails.
    pub fn docker(&self, args: &[&str]) -> String {
        self.try_docker(args).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Runs a container of a Compose service in the background; its full id.
    pub fn run(&self, service: &str, options: &[&str], script: &str) -> String {
        let label = format!("com.docker.compose.service={service}");
        let args = [
            &["run", "-d", "--stop-timeout", "1", "--network", "none", "--label", &label][..],
            options,
            &["busy", "sh", "-c", script],
        ];
        self.docker(&args.concat())
    }

    /// Ends dockerd and starts it again over the same data.
    pub fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// Ends dockerd, and its containers unless it leaves them running.
    pub fn stop(&self) {
        end(&mut self.child());
    }

    /// Ends dockerd wherever it is.
    pub fn kill(&self) {
        let mut child = self.child();
        child.kill().unwrap();
        child.wait().unwrap();
        self.forget_containerd();
    }

    /// dockerd's containerd ends with it; until somebody has waited for it, the
    /// next dockerd believes that it runs.
    fn forget_containerd(&self) {
        let file = self.dir.path().join("exec/containerd/containerd.pid");
        let Ok(pid) = std::fs::read_to_string(&file) else { return };
        let until = Instant::now() + DEADLINE;
        while let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
            && !stat.contains(") Z ")
        {
            assert!(Instant::now() < until, "containerd does not end");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let _ = std::fs::remove_file(file);
    }

    /// After [`Engine::stop`] or [`Engine::kill`].
    pub fn start_again(&self) {
        let started = launch(self.dir.path(), &self.options, self.beside);
        *self.child() = started.unwrap_or_else(|e| panic!("{e}"));
        self.wait_until_up().unwrap_or_else(|e| panic!("{e}"));
    }

    /// Sends dockerd a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the pid is that of a child not waited for yet.
        assert_eq!(unsafe { libc::kill(self.child().id() as i32, signal) }, 0);
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.dockerd.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Writes to a container's standard output.
    pub fn say(&self, id: &str, script: &str) {
        self.docker(&["exec", id, "sh", "-c", &format!("{{ {script}; }} >/proc/1/fd/1 2>/proc/1/fd/2")]);
    }

    /// The engine's own file of a container's log.
    pub fn log_file(&self, id: &str) -> std::path::PathBuf {
        self.dir.path().join("data/containers").join(id).join(format!("{id}-json.log"))
    }

    /// What the engine's json-file of a container holds: output and line.
    pub fn truth(&self, id: &str) -> Vec<(Channel, String)> {
        let text = std::fs::read_to_string(self.log_file(id)).unwrap();
        // dockerd may be in the middle of an entry.
        let text = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let mut half = [String::new(), String::new()];
        let mut lines = Vec::new();
        for entry in text.lines() {
            let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
            let channel = if entry["stream"] == "stderr" { Channel::Err } else { Channel::Out };
            let half = &mut half[usize::from(channel == Channel::Err)];
            half.push_str(entry["log"].as_str().unwrap());
            if half.ends_with('\n') {
                half.pop();
                lines.push((channel, std::mem::take(half)));
            }
        }
        lines
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // One that was stopped or killed is needed to end its containers.
        self.signal_quietly(libc::SIGCONT);
        let is_over = self.child().try_wait().is_ok_and(|status| status.is_some());
        if is_over && let Ok(child) = launch(self.dir.path(), &self.options, self.beside) {
            *self.child() = child;
            let _ = self.wait_until_up();
        }
        if let Ok(ids) = self.try_docker(&["ps", "-aq"]) {
            let ids: Vec<&str> = ids.split_whitespace().collect();
            let _ = self.try_docker(&[&["rm", "-f"], &ids[..]].concat());
        }
        self.stop();
        // A dockerd that was killed has left it.
        let data = std::ffi::CString::new(self.dir.path().join("data").display().to_string());
        if let Ok(data) = data {
            // SAFETY: the path is a C string; what is no mount is refused.
            unsafe { libc::umount2(data.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

impl Engine {
    fn signal_quietly(&self, signal: i32) {
        let mut child = self.child();
        if child.try_wait().is_ok_and(|status| status.is_none()) {
            // SAFETY: the pid is that of a child not waited for yet.
            unsafe { libc::kill(child.id() as i32, signal) };
        }
    }
}

/// Starts processes on a thread that outlives every test: they are to end with
/// the program, and the kernel looks at the thread that started them.
fn spawn(command: Command) -> std::io::Result<Child> {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static KEEPER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, started) = mpsc::channel();
    keeper.lock().unwrap_or_else(|e| e.into_inner()).send((command, answer)).unwrap();
    started.recv().unwrap()
}

fn launch(dir: &Path, options: &[String], beside: Option<u32>) -> Result<Child, String> {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .map_err(|e| e.to_string())?;
    let mut command = match beside {
        None => Command::new("dockerd"),
        Some(pid) => {
            let mut command = Command::new("nsenter");
            command.args(["-t", &pid.to_string(), "-m", "dockerd"]);
            command
        }
    };
    command
        .arg("--data-root")
        .arg(dir.join("data"))
        .arg("--exec-root")
        .arg(dir.join("exec"))
        .arg("--pidfile")
        .arg(dir.join("pid"))
        .arg("-H")
        .arg(format!("unix://{}/d.sock", dir.display()))
        .args(["--storage-driver", "vfs", "--bridge", "none", "--iptables=false"])
        .args(options)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(|e| e.to_string())?)
        .stderr(log);
    // SAFETY: prctl is async-signal-safe and touches only the child.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
    spawn(command).map_err(|e| format!("dockerd: {e}"))
}

fn end(child: &mut Child) {
    // SAFETY: the pid is that of a child not waited for yet.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    let _ = child.wait();
}
