//! The load on RESP servers: connections that send what was made before, and compare what comes back byte by byte.
//!
//! It runs on one thread, which [`pin`] keeps on a core of its own. In the closed loop each connection sends its next batch when the
//! last one is answered; in the open one requests are sent when they are due, whether or not earlier ones are answered, and an answer's
//! time counts from when its request was due (Tene, "How not to measure latency").

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::{JoinSet, LocalSet};

use super::{CLIENTS, KEYS, LOAD_CORE, VALUE};
use crate::error::Error;
use crate::stores::now;

/// Different batches that each connection sends in turn.
const BATCHES: usize = 256;

/// A command and its answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask {
    Get,
    Set,
    HGet,
}

impl Ask {
    /// Its request for a key, and what a server answers where [`fill`] has been.
    fn write(self, number: u32, request: &mut Vec<u8>, answer: &mut Vec<u8>) {
        let key = super::key(number);
        let value = bulk(&VALUE);
        match self {
            Self::Get => {
                request.extend_from_slice(&command(&[b"GET", key.as_bytes()]));
                answer.extend_from_slice(&value);
            }
            Self::Set => {
                request.extend_from_slice(&command(&[b"SET", key.as_bytes(), &VALUE]));
                answer.extend_from_slice(b"+OK\r\n");
            }
            Self::HGet => {
                let hash = hash(number);
                request.extend_from_slice(&command(&[b"HGET", hash.as_bytes(), field(number).as_bytes()]));
                answer.extend_from_slice(&value);
            }
        }
    }
}

/// Fields of a hash.
const FIELDS: u32 = 10;

fn hash(number: u32) -> String {
    format!("hash:{:011}", number / FIELDS)
}

fn field(number: u32) -> String {
    format!("field:{}", number % FIELDS)
}

fn bulk(text: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| command.extend_from_slice(&bulk(word)));
    command
}

/// What is sent in one piece, and what must come back.
#[derive(Clone, Debug)]
struct Batch {
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// `BATCHES` batches of `pipeline` requests each, of keys drawn with `seed`.
fn batches(ask: Ask, pipeline: usize, seed: u64) -> Vec<Batch> {
    let mut random = fastrand::Rng::with_seed(seed);
    let batch = |_| {
        let mut batch = Batch { request: Vec::new(), answer: Vec::new() };
        for _ in 0..pipeline {
            ask.write(random.u32(..KEYS), &mut batch.request, &mut batch.answer);
        }
        batch
    };
    (0..BATCHES).map(batch).collect()
}

/// Keeps this thread on the load's core.
pub(super) fn pin() -> Result<(), Error> {
    let told = Command::new("taskset").args(["-pc", LOAD_CORE, &std::process::id().to_string()]).output()?;
    if told.status.success() {
        return Ok(());
    }
    let problem = String::from_utf8_lossy(&told.stderr).into_owned();
    Err(Error::Server { problem: format!("the load needs a core of its own: {problem}") })
}

/// Runs `work` on this thread.
pub(super) fn on_this_thread<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, work)
}

/// Gives `keys` keys their values, and where `hashes` is said, as many fields of hashes.
pub(super) async fn fill(address: SocketAddr, keys: u32, hashes: bool) -> Result<(), Error> {
    let mut stream = connect(address).await?;
    let numbers: Vec<u32> = (0..keys).collect();
    for numbers in numbers.chunks(500) {
        let mut batch = Batch { request: Vec::new(), answer: Vec::new() };
        numbers.iter().for_each(|number| Ask::Set.write(*number, &mut batch.request, &mut batch.answer));
        exchange(&mut stream, &batch, &mut Vec::new()).await?;
        if hashes {
            let fields = numbers.iter().map(|number| {
                command(&[b"HSET", hash(*number).as_bytes(), field(*number).as_bytes(), &VALUE])
            });
            let request = fields.collect::<Vec<_>>().concat();
            exchange(
                &mut stream,
                &Batch { request, answer: b":1\r\n".repeat(numbers.len()) },
                &mut Vec::new(),
            )
            .await?;
        }
    }
    Ok(())
}

/// What a closed loop did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) requests: f64,
    took: Duration,
}

impl Done {
    /// Requests a second.
    pub(super) fn rate(self) -> f64 {
        self.requests / self.took.as_secs_f64()
    }
}

/// What [`CLIENTS`] connections get answered for `span`, each sending `pipeline` requests at once.
pub(super) async fn closed_loop(
    address: SocketAddr,
    ask: Ask,
    pipeline: usize,
    span: Duration,
) -> Result<Done, Error> {
    let mut streams = Vec::with_capacity(CLIENTS);
    for client in 0..CLIENTS {
        streams.push((connect(address).await?, batches(ask, pipeline, client as u64)));
    }
    let begun = now();
    let mut clients = JoinSet::new();
    for (stream, batches) in streams {
        clients.spawn_local(client(stream, batches, begun, span));
    }
    let mut exchanged = 0;
    while let Some(client) = clients.join_next().await {
        exchanged += client.map_err(|error| Error::Server { problem: error.to_string() })??;
    }
    let requests = f64::from(exchanged * u32::try_from(pipeline).unwrap_or(u32::MAX));
    Ok(Done { requests, took: begun.elapsed() })
}

/// How many batches one connection got answered until `span` after `begun`.
async fn client(
    mut stream: TcpStream,
    batches: Vec<Batch>,
    begun: Instant,
    span: Duration,
) -> Result<u32, Error> {
    let mut answer = Vec::new();
    let mut exchanged = 0;
    for batch in batches.iter().cycle() {
        exchange(&mut stream, batch, &mut answer).await?;
        exchanged += 1;
        if begun.elapsed() > span {
            break;
        }
    }
    Ok(exchanged)
}

/// The time that each answer took, from when its request was due, where `rate` requests are due a second for `span`.
pub(super) async fn open_loop(
    address: SocketAddr,
    rate: f64,
    span: Duration,
) -> Result<Vec<Duration>, Error> {
    let due = Rc::new(RefCell::new(vec![VecDeque::<Instant>::new(); CLIENTS]));
    let mut clients = JoinSet::new();
    let mut writers = Vec::with_capacity(CLIENTS);
    for client in 0..CLIENTS {
        let (from, to) = connect(address).await?.into_split();
        writers.push((to, batches(Ask::Get, 1, client as u64)));
        clients.spawn_local(answers(from, client, Rc::clone(&due)));
    }
    let begun = now();
    let mut sent = 0_u32;
    let mut turn = 0;
    while begun.elapsed() < span {
        let at = begun + Duration::from_secs_f64(f64::from(sent) / rate);
        if now() < at {
            tokio::task::yield_now().await;
            continue;
        }
        let (client, batch) = (turn % CLIENTS, turn / CLIENTS % BATCHES);
        turn += 1;
        sent += 1;
        if let (Some((to, batches)), Some(due)) = (writers.get_mut(client), due.borrow_mut().get_mut(client))
        {
            due.push_back(at);
            send(to, batches.get(batch))?;
        }
    }
    for (to, _) in &mut writers {
        to.shutdown().await?;
    }
    let mut took = Vec::new();
    while let Some(client) = clients.join_next().await {
        took.extend(client.map_err(|error| Error::Server { problem: error.to_string() })??);
    }
    match took.len() == usize::try_from(sent).unwrap_or(usize::MAX) {
        true => Ok(took),
        false => Err(Error::Server { problem: format!("{} of {sent} requests were answered", took.len()) }),
    }
}

/// Sends one request, which the socket must have room for.
fn send(to: &OwnedWriteHalf, batch: Option<&Batch>) -> Result<(), Error> {
    let request = batch.map(|batch| batch.request.as_slice()).unwrap_or_default();
    match to.try_write(request)? {
        written if written == request.len() => Ok(()),
        _ => Err(Error::Server { problem: "the server takes no more requests at this rate".to_owned() }),
    }
}

/// Reads answers until there are no more; how long each took.
async fn answers(
    mut from: OwnedReadHalf,
    client: usize,
    due: Rc<RefCell<Vec<VecDeque<Instant>>>>,
) -> Result<Vec<Duration>, Error> {
    let expected = bulk(&VALUE);
    let mut answer = vec![0; expected.len()];
    let mut took = Vec::new();
    loop {
        match from.read_exact(&mut answer).await {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(took),
            Err(error) => return Err(error.into()),
        }
        same(&answer, &expected)?;
        let at = due.borrow_mut().get_mut(client).and_then(VecDeque::pop_front);
        took.extend(at.map(|at| now().saturating_duration_since(at)));
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a batch and reads its answer into `answer`.
async fn exchange(stream: &mut TcpStream, batch: &Batch, answer: &mut Vec<u8>) -> Result<(), Error> {
    stream.write_all(&batch.request).await?;
    answer.resize(batch.answer.len(), 0);
    stream.read_exact(answer).await?;
    same(answer, &batch.answer)
}

fn same(answer: &[u8], expected: &[u8]) -> Result<(), Error> {
    if answer == expected {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(answer).chars().take(120).collect::<String>();
    Err(Error::Server { problem: format!("a server answered {shown:?}") })
}
