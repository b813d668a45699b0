//! The binary as its users run it: private servers, signals, and the plug pulled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::support::client::{application, registration};
use crate::support::process::{binary, listening};
use crate::support::servers::scratch_dir;
use crate::support::{Client, TestApp};

/// A data directory of a test's own, and the directories of the sockets that were opened for it.
struct Data(PathBuf, Mutex<BTreeSet<PathBuf>>);

/// Removes a directory in which a dying server may still be at work.
fn remove(directory: &Path) {
    for _ in 0..100 {
        if fs::remove_dir_all(directory).is_ok() || !directory.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        for pid in self.server_pids() {
            kill(pid, "KILL");
        }
        for sockets in self.1.lock().unwrap().iter() {
            // A killed service leaves it to the next start, which does not come.
            remove(sockets);
        }
        remove(&self.0);
    }
}

impl Data {
    fn new() -> Self {
        Self(scratch_dir("process"), Mutex::default())
    }

    /// A client with the key that the service has left there.
    fn client(&self, address: SocketAddr) -> Client {
        let key = fs::read_to_string(self.0.join("operator.key")).expect("the first start has made a key");
        Client::new(address).showing(key.trim_end())
    }

    fn remember_sockets(&self) {
        const SOCKET_DIRECTORY: usize = 4;
        let pid_file = fs::read_to_string(self.0.join("postgres/postmaster.pid")).unwrap_or_default();
        self.1.lock().unwrap().extend(pid_file.lines().nth(SOCKET_DIRECTORY).map(PathBuf::from));
    }

    /// Of the private PostgreSQL and, where it is installed, NATS.
    fn server_pids(&self) -> Vec<u32> {
        let first_line = |path: &Path| fs::read_to_string(path).ok()?.lines().next()?.trim().parse().ok();
        [self.0.join("postgres/postmaster.pid"), self.0.join("nats/nats.pid")]
            .iter()
            .filter_map(|path| first_line(path))
            .collect()
    }
}

/// A running `serve`.
struct Serving {
    child: Child,
    client: Client,
    // Held so that the service can go on printing.
    _output: Lines<BufReader<ChildStdout>>,
}

async fn serve(data: &Data, arguments: &[&str]) -> Serving {
    let mut command = binary();
    command.arg("serve").arg("--data-dir").arg(&data.0).args(["--http-addr", "127.0.0.1:0"]).args(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (address, output) = listening(&mut child).await;
    data.remember_sockets();
    Serving { child, client: data.client(address), _output: output }
}

fn kill(pid: u32, signal: &str) {
    std::process::Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .unwrap();
}

fn runs(pid: u32) -> bool {
    // A zombie has ended; only its parent has not asked yet.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn ended(pid: u32) {
    for _ in 0..200 {
        if !runs(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("process {pid} still runs");
}

impl Serving {
    fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }
}

/// Registers customers from many clients at once until `enough` were answered; keeps each answer's token.
async fn write_concurrently(
    client: &Client,
    enough: usize,
) -> (Arc<Mutex<BTreeMap<i64, String>>>, Vec<tokio::task::JoinHandle<()>>) {
    let answered = Arc::new(Mutex::new(BTreeMap::new()));
    let started = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..32)
        .map(|_| {
            let (client, answered, started) = (client.clone(), Arc::clone(&answered), Arc::clone(&started));
            tokio::spawn(async move {
                while started.fetch_add(1, Ordering::Relaxed) < 1000 {
                    let request = client.request(reqwest::Method::POST, "/register").json(&registration(50_000));
                    let Ok(answer) = client.try_send(request).await else { continue };
                    if answer.status == 201 {
                        let token = answer.header("consistency-token").to_owned();
                        answered.lock().unwrap().insert(answer.body["customer_id"].as_i64().unwrap(), token);
                    }
                }
            })
        })
        .collect();
    while answered.lock().unwrap().len() < enough {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (answered, writers)
}

async fn assert_all_there(client: &Client, answered: &Mutex<BTreeMap<i64, String>>) {
    let answered = answered.lock().unwrap().clone();
    for (customer, token) in answered {
        let request = client.request(reqwest::Method::GET, &format!("/view-loans/{customer}"));
        let answer = client.send(request.header("Consistency-Token", token)).await;
        assert_eq!(answer.status, 200, "customer {customer} was answered 201 and is gone: {:?}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_the_plug_pulled_on_every_process() {
    let data = Data::new();
    let mut serving = serve(&data, &[]).await;
    let servers = data.server_pids();
    let (answered, writers) = write_concurrently(&serving.client, 300).await;
    for pid in [&[serving.pid()], servers.as_slice()].concat() {
        kill(pid, "KILL");
    }
    serving.child.wait().await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }

    let again = serve(&data, &[]).await;
    assert_all_there(&again.client, &answered).await;
    assert_eq!(again.client.post("/register", &registration(50_000)).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_outlives_its_servers() {
    let data = Data::new();
    let serving = serve(&data, &[]).await;
    let (answered, writers) = write_concurrently(&serving.client, 100).await;
    for pid in data.server_pids() {
        kill(pid, "KILL");
    }
    for writer in writers {
        writer.await.unwrap();
    }
    for attempt in 0.. {
        let answer = serving.client.post("/register", &registration(50_000)).await;
        if answer.status == 201 {
            break;
        }
        assert_eq!(answer.status, 503, "{:?}", answer.body);
        assert!(attempt < 200, "the service does not recover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_all_there(&serving.client, &answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_stops_everything_and_the_next_start_finds_the_data() {
    let data = Data::new();
    let mut serving = serve(&data, &["--sample-data"]).await;
    let eligible = application(10_300, 10_000, 18, 12);
    assert_eq!(serving.client.post("/check-eligibility", &eligible).await.status, 200, "the sample data is there");
    let mine = serving.client.register(50_000).await;
    let servers = data.server_pids();
    assert!(!servers.is_empty());
    kill(serving.pid(), "INT");
    assert!(serving.child.wait().await.unwrap().success());
    for pid in servers {
        ended(pid).await;
    }

    let mut again = serve(&data, &["--sample-data"]).await;
    assert_eq!(again.client.get(&format!("/view-loans/{mine}")).await.status, 200);
    assert_eq!(again.client.get(&format!("/view-loans/{}", mine + 1)).await.status, 404, "filled only once");
    kill(again.pid(), "TERM");
    assert!(again.child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_end_with_a_killed_service() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let data = Data::new();
    let mut serving = serve(&data, &[]).await;
    let servers = data.server_pids();
    kill(serving.pid(), "KILL");
    serving.child.wait().await.unwrap();
    for pid in servers {
        ended(pid).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_belongs_to_one_service() {
    let data = Data::new();
    let serving = serve(&data, &[]).await;
    let mut second = binary();
    let output =
        second.args(["serve", "--http-addr", "127.0.0.1:0", "--data-dir"]).arg(&data.0).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said.lines().filter(|line| line.starts_with("credit-approval: ")).count(), 1, "{said}");
    assert!(said.contains(&serving.pid().to_string()), "names the owner: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_import_work_beside_a_running_service() {
    let data = Data::new();
    let serving = serve(&data, &[]).await;
    let files = data.0.join("workbooks");
    let mut generate = binary();
    generate.args(["generate", "--customers", "20", "--loans", "40", "--out"]).arg(&files);
    assert!(generate.output().await.unwrap().status.success());
    let import = binary()
        .args(["import", "--data-dir"])
        .arg(&data.0)
        .arg("--customers")
        .arg(files.join("customer_data.xlsx"))
        .arg("--loans")
        .arg(files.join("loan_data.xlsx"))
        .arg("--rejects")
        .arg(data.0.join("rejects.csv"))
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(import.stdout).unwrap();
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    assert!(said.contains("20 imported") && said.contains("40 imported"), "{said}");
    // The next write's place in the log is behind the import's, in its own partition at least.
    let customer = serving.client.register(50_000).await;
    assert_eq!(customer, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_nothing() {
    let data = Data::new();
    let mut command = binary();
    command.arg("serve").arg("--data-dir").arg(&data.0).args(["--http-addr", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let address = listening(&mut child).await.0;
    data.remember_sockets();
    drop(child.stderr.take());
    let client = data.client(address);
    for _ in 0..3 {
        client.register(50_000).await;
    }
    assert_eq!(client.get("/health/ready").await.status, 200);
    kill(child.id().unwrap(), "HUP");
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn wrong_usage_and_failure_have_their_own_exit_statuses() {
    let status = async |arguments: &[&str]| {
        let output = binary().args(arguments).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(status(&["serve", "--no-such-option"]).await.0, Some(2));
    assert_eq!(status(&["import"]).await.0, Some(2));
    let (code, said) = status(&["health", "--url", "http://127.0.0.1:9/health/ready"]).await;
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    let unreachable = ["serve", "--database-url", "postgres://nobody@127.0.0.1:9/none", "--http-addr", "127.0.0.1:0"];
    let (code, said) = status(&[&unreachable[..], &["--database-wait", "0"]].concat()).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("credit-approval: cannot connect to PostgreSQL: "), "{said}");
    let (code, said) = status(&["serve", "--policy", "none-9", "--http-addr", "127.0.0.1:0"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("standard-1, literal-1"), "{said}");
}

#[tokio::test]
async fn the_address_of_a_server_may_stand_in_a_file() {
    let config = TestApp::config(&[]).await;
    let url = config.store.database_url().expect("tests name a database").to_owned();
    let scratch = scratch_dir("secret");
    let file = scratch.join("database-url");
    fs::write(&file, format!("{url}\n")).unwrap();
    let migrate = async |variables: &[(&str, &str)]| {
        let output = binary().arg("migrate").envs(variables.iter().copied()).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let path = file.display().to_string();
    let (code, said) = migrate(&[("DATABASE_URL_FILE", &path)]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = migrate(&[("DATABASE_URL_FILE", &path), ("DATABASE_URL", &url)]).await;
    assert_eq!(code, Some(2), "both are named: {said}");
    let (code, said) = migrate(&[("DATABASE_URL_FILE", "/no/such/file")]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot be read"), "{said}");
    fs::remove_dir_all(scratch).unwrap();
}
