//! A TCP proxy that does what networks and servers do when they fail, for tests before a database and before an HTTP origin.
//!
//! A fault holds from the moment it is set, for the connections that are open and for those that come. Open connections are counted, so that a
//! test waits for events and not for time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it stands in tests alone, which end where it cannot go on"
)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay::rt::{Clock, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// What a connection suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Every answer comes so much later.
    Delay(Duration),
    /// Connections are refused, and those that are open end.
    Refuse,
    /// Everything is accepted and read, and nothing is ever answered.
    BlackHole,
    /// Connections are reset as soon as something is asked.
    Reset,
    /// A connection ends after so many bytes of its answers.
    Cut(usize),
    /// Answers come one byte at a time, so far apart.
    Drip(Duration),
    /// Nothing, until this is asked.
    At(&'static str, Then),
}

/// What becomes of the question that a fault waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Its connection ends before the server has it.
    Swallow,
    /// The server has it, and its connection ends without the answer.
    LoseAnswer,
    /// As that, and no connection is taken any more.
    LoseAnswerAndRefuse,
    /// Its answer comes so much later.
    Hold(Duration),
}

impl Fault {
    /// Every fault after which nothing is answered in time.
    pub const DEADLY: [Self; 6] = [
        Self::Delay(Duration::from_secs(60)),
        Self::Refuse,
        Self::BlackHole,
        Self::Reset,
        Self::Cut(3),
        Self::Drip(Duration::from_millis(40)),
    ];
}

/// A proxy before one server; it ends when it is dropped.
pub struct Proxy {
    /// Where it is reached.
    pub address: SocketAddr,
    fault: Arc<watch::Sender<Fault>>,
    open: Arc<AtomicU64>,
    _tasks: Tasks,
}

impl Proxy {
    /// Stands before `server`, with no fault.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fault, faults) = watch::channel(Fault::None);
        let fault = Arc::new(fault);
        let setting = Arc::clone(&fault);
        let open = Arc::new(AtomicU64::new(0));
        let tasks = Tasks::current().unwrap();
        let own = Tasks::current().unwrap();
        let count = Arc::clone(&open);
        tasks.spawn(
            async move { listen(Some(listener), address, server, (setting, faults), count, own).await },
        );
        Self { address, fault, open, _tasks: tasks }
    }

    /// Sets a fault.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Connections that are open.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::SeqCst)
    }

    /// Waits until no connection is open any more.
    pub async fn closed(&self) {
        let clock = Clock::default();
        let began = clock.now();
        while self.open() > 0 {
            assert!(clock.now().since(began) < Duration::from_secs(10), "{} connections stay", self.open());
            clock.sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn listen(
    mut listener: Option<TcpListener>,
    address: SocketAddr,
    server: SocketAddr,
    (setting, mut faults): (Arc<watch::Sender<Fault>>, watch::Receiver<Fault>),
    open: Arc<AtomicU64>,
    tasks: Tasks,
) {
    loop {
        let refuses = *faults.borrow_and_update() == Fault::Refuse;
        if refuses {
            listener = None;
        } else if listener.is_none() {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            listener = Some(socket.listen(64).unwrap());
        }
        let Some(listening) = &listener else {
            if faults.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            changed = faults.changed() => if changed.is_err() { return },
            Ok((client, _)) = listening.accept() => {
                open.fetch_add(1, Ordering::SeqCst);
                let (setting, faults, open) = (Arc::clone(&setting), faults.clone(), Arc::clone(&open));
                tasks.spawn(async move {
                    let _ = carry(client, server, &setting, faults).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        }
    }
}

/// Carries one connection until it ends.
async fn carry(
    client: TcpStream,
    server: SocketAddr,
    setting: &watch::Sender<Fault>,
    mut faults: watch::Receiver<Fault>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let upstream = TcpStream::connect(server).await?;
    upstream.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    let (mut asked, mut answered) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut told = 0_usize;
    let clock = Clock::default();
    loop {
        tokio::select! {
            changed = faults.changed() => {
                told = 0;
                if changed.is_err() || *faults.borrow_and_update() == Fault::Refuse {
                    return Ok(());
                }
            }
            read = from_client.read(&mut asked) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                let fault = *faults.borrow();
                match fault {
                    Fault::BlackHole => {}
                    Fault::Reset => {
                        let client = from_client.reunite(to_client).map_err(io::Error::other)?;
                        client.set_zero_linger()?;
                        return Ok(());
                    }
                    Fault::At(text, then) if holds(&asked[..read], text) => {
                        if !asked_at_last(then, &asked[..read], &mut from_server, &mut to_server, setting).await? {
                            return Ok(());
                        }
                    }
                    _ => to_server.write_all(&asked[..read]).await?,
                }
            }
            read = from_server.read(&mut answered) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                let fault = *faults.borrow();
                let mut way = Way { from_client: &mut from_client, to_client: &mut to_client, clock: &clock };
                if !way.answered(fault, &answered[..read], &mut told).await? {
                    return Ok(());
                }
            }
        }
    }
}

/// The way back to a client.
struct Way<'a> {
    from_client: &'a mut OwnedReadHalf,
    to_client: &'a mut OwnedWriteHalf,
    clock: &'a Clock,
}

impl Way<'_> {
    /// Does with `answer` what `fault` says, `told` bytes after it was set; whether the connection goes on.
    async fn answered(&mut self, fault: Fault, answer: &[u8], told: &mut usize) -> io::Result<bool> {
        match fault {
            Fault::BlackHole => {}
            Fault::Cut(most) => {
                let left = answer.len().min(most - *told);
                self.to_client.write_all(&answer[..left]).await?;
                *told += left;
                return Ok(*told < most);
            }
            Fault::Drip(apart) => {
                for byte in answer {
                    self.to_client.write_all(&[*byte]).await?;
                    if gone(self.from_client, self.clock, apart).await {
                        return Ok(false);
                    }
                }
            }
            Fault::Delay(span) => {
                if gone(self.from_client, self.clock, span).await {
                    return Ok(false);
                }
                self.to_client.write_all(answer).await?;
            }
            _ => self.to_client.write_all(answer).await?,
        }
        Ok(true)
    }
}

/// Does what `then` says with the question `asked`; whether the connection goes on.
async fn asked_at_last(
    then: Then,
    asked: &[u8],
    from_server: &mut OwnedReadHalf,
    to_server: &mut OwnedWriteHalf,
    setting: &watch::Sender<Fault>,
) -> io::Result<bool> {
    if then == Then::Swallow {
        return Ok(false);
    }
    to_server.write_all(asked).await?;
    if let Then::Hold(span) = then {
        Clock::default().sleep(span).await;
        return Ok(true);
    }
    // Whatever the server says: it has done it.
    let _ = from_server.read(&mut [0; 256]).await?;
    if then == Then::LoseAnswerAndRefuse {
        setting.send_replace(Fault::Refuse);
    }
    Ok(false)
}

/// Whether `asked` holds `text`.
fn holds(asked: &[u8], text: &str) -> bool {
    asked.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Whether the client goes away within `span`; what it says meanwhile is lost.
async fn gone(client: &mut OwnedReadHalf, clock: &Clock, span: Duration) -> bool {
    let mut ignored = [0; 256];
    let read = async { while !matches!(client.read(&mut ignored).await, Ok(0) | Err(_)) {} };
    clock.timeout(span, read).await.is_ok()
}
