//! The line between a service and its PostgreSQL, to be cut and mended.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

const BROKEN_WITHIN: Duration = Duration::from_millis(100);

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sound,
    /// Nobody takes a connection, and those that were are broken.
    Cut,
    /// Connections are taken, and nothing comes through.
    Silent,
}

/// A port that stands for a database of the run's PostgreSQL.
pub(crate) struct Line {
    state: watch::Sender<State>,
    breaks: watch::Sender<u32>,
    url: String,
    task: AbortHandle,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    /// A sound line to a database.
    pub(crate) async fn to(database_url: &str) -> Self {
        let options = PgConnectOptions::from_str(database_url).expect("a URL");
        let socket = options.get_socket().expect("the run's PostgreSQL has a socket");
        let socket = socket.join(format!(".s.PGSQL.{}", options.get_port()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("an address").port();
        let database = options.get_database().expect("a database");
        let url = format!("postgres://{}@127.0.0.1:{port}/{database}?sslmode=disable", options.get_username());
        let state = watch::Sender::new(State::Sound);
        let breaks = watch::Sender::new(0);
        let task = tokio::spawn(run(listener, port, socket, state.subscribe(), breaks.subscribe())).abort_handle();
        Self { state, breaks, url, task }
    }

    /// The database, through the line.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Breaks the connections that there are; new ones can be made.
    pub(crate) async fn break_connections(&self) {
        self.breaks.send_modify(|breaks| *breaks += 1);
        tokio::time::sleep(BROKEN_WITHIN).await;
    }

    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    pub(crate) fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Sound);
    }
}

fn listen(port: u16) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option");
    socket.bind(([127, 0, 0, 1], port).into()).expect("the port is ours");
    socket.listen(1024).expect("it listens")
}

async fn run(
    listener: TcpListener,
    port: u16,
    socket: PathBuf,
    mut state: watch::Receiver<State>,
    mut breaks: watch::Receiver<u32>,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        if *state.borrow_and_update() == State::Cut {
            listener = None;
            connections.shutdown().await;
            state.changed().await.expect("the line lives");
            continue;
        }
        let open = listener.get_or_insert_with(|| listen(port));
        tokio::select! {
            accepted = open.accept() => {
                let (client, _) = accepted.expect("a connection");
                connections.spawn(carry(client, socket.clone(), state.clone()));
            }
            changed = state.changed() => changed.expect("the line lives"),
            broken = breaks.changed() => {
                broken.expect("the line lives");
                connections.shutdown().await;
            }
        }
    }
}

async fn carry(client: TcpStream, socket: PathBuf, state: watch::Receiver<State>) {
    let Ok(server) = UnixStream::connect(socket).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, state.clone()) => {}
        () = pump(from_server, to_client, state) => {}
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut state: watch::Receiver<State>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if state.wait_for(|state| *state != State::Silent).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
