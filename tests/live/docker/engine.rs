//! A dockerd of our own for tests, and what its containers wrote by its own
//! log files.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use tocsin::model::Channel;

const DEADLINE: Duration = Duration::from_secs(30);

/// A dockerd of our own; ended by its own pid when dropped.
pub struct Engine {
    dir: tempfile::TempDir,
    dockerd: Child,
}

impl Engine {
    /// Starts it in a directory of its own, with one image, `busy`.
    pub fn start() -> Result<Engine, String> {
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            return Err("dockerd needs root".to_owned());
        }
        let dir = tempfile::Builder::new().prefix("dk").tempdir().map_err(|e| e.to_string())?;
        let dockerd = launch(dir.path())?;
        let engine = Engine { dir, dockerd };
        engine.wait_until_up()?;
        engine.import_image()?;
        Ok(engine)
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
        for name in ["sh", "usleep", "head", "tr", "sleep", "seq"] {
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
    pub fn restart(&mut self) {
        end(&mut self.dockerd);
        self.dockerd = launch(self.dir.path()).unwrap_or_else(|e| panic!("{e}"));
        self.wait_until_up().unwrap_or_else(|e| panic!("{e}"));
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
        if let Ok(ids) = self.try_docker(&["ps", "-aq"]) {
            let ids: Vec<&str> = ids.split_whitespace().collect();
            let _ = self.try_docker(&[&["rm", "-f"], &ids[..]].concat());
        }
        end(&mut self.dockerd);
    }
}

fn launch(dir: &Path) -> Result<Child, String> {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .map_err(|e| e.to_string())?;
    let mut command = Command::new("dockerd");
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
    command.spawn().map_err(|e| format!("dockerd: {e}"))
}

fn end(child: &mut Child) {
    // SAFETY: the pid is that of a child not waited for yet.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    let _ = child.wait();
}

/// Stands between a source and the engine, and can swallow what the first
/// follow stream has yet to say.
pub struct Proxy {
    /// As `host` of a source.
    pub socket: String,
    /// Once true, the first follow stream says no more.
    pub swallows: Arc<AtomicBool>,
}

impl Proxy {
    pub fn before(engine: &Engine) -> Proxy {
        let path = engine.dir.path().join("proxy.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let swallows = Arc::new(AtomicBool::new(false));
        let flag = swallows.clone();
        let target = engine.dir.path().join("d.sock");
        tokio::spawn(async move {
            let has_followed = Arc::new(AtomicBool::new(false));
            while let Ok((client, _)) = listener.accept().await {
                let server = tokio::net::UnixStream::connect(&target).await.unwrap();
                tokio::spawn(pass(client, server, flag.clone(), has_followed.clone()));
            }
        });
        Proxy { socket: format!("unix://{}", path.display()), swallows }
    }
}

async fn pass(
    mut client: tokio::net::UnixStream,
    mut server: tokio::net::UnixStream,
    swallows: Arc<AtomicBool>,
    has_followed: Arc<AtomicBool>,
) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut is_first_follow = false;
    loop {
        tokio::select! {
            Ok(count) = client.read(&mut asked) => {
                if count == 0 || server.write_all(&asked[..count]).await.is_err() {
                    return;
                }
                if String::from_utf8_lossy(&asked[..count]).contains("follow=1") {
                    is_first_follow = !has_followed.swap(true, Ordering::Relaxed);
                }
            }
            Ok(count) = server.read(&mut answered) => {
                let is_swallowed = is_first_follow && swallows.load(Ordering::Relaxed);
                if count == 0 || (!is_swallowed && client.write_all(&answered[..count]).await.is_err()) {
                    return;
                }
            }
            else => return,
        }
    }
}
