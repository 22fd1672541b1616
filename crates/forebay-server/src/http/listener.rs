//! Connections of the HTTP listener: hyper's protocol over streams that are watched.
//!
//! Every wait for a client has an end: for a request's head ([`HEAD`], from its first byte), for the next request ([`IDLE`]), for a body
//! ([`BODY_GRACE`] and then [`BODY_BYTES_PER_SECOND`] at least), and for room to send a reply ([`STALLED`], and together that and as
//! much longer as [`REPLY_BYTES_PER_SECOND`] allows). hyper's own time-outs need
//! a timer and a memory allocation for each request; here one clock is looked at where a client lets wait, and nowhere else.
//!
//! When the process is to end, a connection ends once it is idle and nothing that it was sent is unread; one that was never sent anything
//! ends at once.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use forebay::rt::{Clock, Mutex, Tick};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service as _;

use super::hit::Hits;
use crate::connections::{self, Counted, Places};
use crate::observe::request_id;
use crate::problem::Problem;
use crate::stop::Stop;
use crate::tls::{self, Protocol, Tls};

/// The longest for a request's head, from its first byte, and for the first byte of a connection.
const HEAD: Duration = Duration::from_secs(10);
/// The longest that a connection is kept between two requests.
const IDLE: Duration = Duration::from_secs(60);
/// A body that comes slowly is waited for so long...
const BODY_GRACE: Duration = Duration::from_secs(10);
/// ... and as much longer as it has brought, at this rate.
const BODY_BYTES_PER_SECOND: u64 = 1024;
/// The longest without a client taking any of a reply.
const STALLED: Duration = Duration::from_secs(60);
/// All that a reply waits for its client may take so long, and as much longer as the client has taken of it, at this rate: who takes a
/// little now and then would keep a value, and a place, for hours.
const REPLY_BYTES_PER_SECOND: u64 = 8 * 1024;
/// What a client sends after the last reply is taken for so long, so that the system does not cut off the reply.
const LINGER: Duration = Duration::from_secs(1);
/// The longest head, and the most of a reply that waits beside its value, in bytes. A head has at most 100 fields.
const BUFFER_BYTES: usize = 64 * 1024;

/// What is sent to who finds no place: nothing of the request is read, so that its id is one made here.
fn no_place() -> Vec<u8> {
    unread("503 Service Unavailable", "Retry-After: 1\r\n", &Problem::no_place())
}

/// What is sent to who does not begin a handshake where one is due.
fn no_tls() -> Vec<u8> {
    unread("400 Bad Request", "", &Problem::no_tls())
}

/// The last answer on a connection of which nothing has been read, so that the request's id is one made here.
fn unread(status: &str, headers: &str, problem: &Problem) -> Vec<u8> {
    let id = request_id(None);
    let body = problem.told(Some(&id));
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\n{headers}\
         X-Request-Id: {id}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    (head + &body).into_bytes()
}

/// Serves until it is told to stop, then finishes the requests under way. Connections are within `tls` where there is one.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    front: Front,
    places: Arc<Places>,
    counted: Arc<Counted>,
    clock: Clock,
    stop: Stop,
) {
    let connection = |stream: TcpStream, from| {
        let (front, clock, mut stop, tls) = (front.clone(), clock.clone(), stop.clone(), tls.clone());
        let open = counted.enter();
        async move {
            // Counted until its end.
            let _open = open;
            // Without it a reply may wait for the acknowledgement of the one before; a socket that refuses is served all the same.
            let _ = stream.set_nodelay(true);
            let Some(tls) = tls else {
                let Some(stream) = begun(stream, &clock, &mut stop).await else { return };
                return Box::pin(run(stream, READING_HEAD, from, front, clock, stop)).await;
            };
            let greeted = Box::pin(tls.greet(stream, Protocol::Http, no_tls, &mut stop)).await;
            let Some(stream) = greeted else { return };
            Box::pin(run(stream, NOTHING_YET, from, front, clock, stop)).await;
        }
    };
    let refusal = || if tls.is_some() { tls::NO_PLACE.into() } else { no_place().into() };
    let refusal = (refusal, counted.refused());
    connections::accept(listener, &places, refusal, &clock, stop.clone(), connection).await;
}

/// Serves a connection that is doing `what`.
async fn run(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    what: u8,
    from: SocketAddr,
    front: Front,
    clock: Clock,
    mut stop: Stop,
) {
    let doing = Arc::new(Doing::default());
    doing.becomes(what, &clock);
    let routes = Routes { front, from, doing: Arc::clone(&doing), clock: clock.clone() };
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&doing), clock));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.max_buf_size(BUFFER_BYTES).header_read_timeout(None);
    let mut connection = pin!(http.serve_connection(stream, routes));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.asked() => {
            doing.stopping.store(true, Ordering::Release);
            poll_fn(|context| {
                *doing.task.lock() = Some(context.waker().clone());
                connection.as_mut().poll(context)
            })
            .await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%from, %error, "connection lost");
    }
}

/// The stream, once something has come on it; `None` where nothing does in time, or before the process is to end.
async fn begun(stream: TcpStream, clock: &Clock, stop: &mut Stop) -> Option<TcpStream> {
    let mut first = [0];
    tokio::select! {
        biased;
        // Whether it is readable does not tell: a socket is taken for that until it has been looked at once.
        come = stream.peek(&mut first) => return come.is_ok_and(|bytes| bytes > 0).then_some(stream),
        () = stop.asked() => {}
        () = clock.sleep(HEAD) => return None,
    }
    // The runtime may not know yet what has come: the system does.
    let stream = stream.into_std().ok()?;
    let has_come = stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
    has_come.then(|| TcpStream::from_std(stream).ok()).flatten()
}

/// What a connection is doing.
#[derive(Debug, Default)]
struct Doing {
    what: AtomicU8,
    /// Since when, in ticks of the clock.
    since: AtomicU64,
    /// The process is to end.
    stopping: AtomicBool,
    /// Then: what to wake when a request is done with, since hyper looks at the stream no more until something comes.
    task: Mutex<Option<Waker>>,
}

/// A head is on its way.
const READING_HEAD: u8 = 0;
/// A request is answered, or its body awaited.
const ANSWERING: u8 = 1;
/// Nothing is on its way.
const NOTHING: u8 = 2;
/// The connection is there, and nothing has come on it.
const NOTHING_YET: u8 = 3;

impl Doing {
    fn is(&self) -> u8 {
        self.what.load(Ordering::Acquire)
    }

    fn becomes(&self, what: u8, clock: &Clock) {
        self.since.store(clock.now().as_ms(), Ordering::Release);
        self.what.store(what, Ordering::Release);
    }

    fn since(&self) -> Tick {
        Tick::from_ms(self.since.load(Ordering::Acquire))
    }
}

/// What connections are served by: what memory has at once, all else by its route.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) hits: Arc<Hits>,
    pub(crate) router: Router,
}

/// The same for one connection.
struct Routes {
    front: Front,
    /// Who is at the other end.
    from: SocketAddr,
    doing: Arc<Doing>,
    clock: Clock,
}

impl hyper::service::Service<Request<Incoming>> for Routes {
    type Response = Response<Told>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        self.doing.becomes(ANSWERING, &self.clock);
        let told = Told { body: None, doing: Arc::clone(&self.doing), clock: self.clock.clone() };
        if request.body().is_end_stream()
            && let Some(response) = self.front.hits.answer(&request, self.from)
        {
            return Answering::Now(Some(response.map(|body| told.with(body))));
        }
        let clock = &self.clock;
        let mut request = request.map(|body| match body.is_end_stream() {
            true => Body::empty(),
            false => Body::new(Paced::new(body, clock.clone())),
        });
        request.extensions_mut().insert(ConnectInfo(self.from));
        let mut router = self.front.router.clone();
        Answering::Routed(Box::pin(async move {
            let response = router.call(request).await?;
            Ok(response.map(|body| told.with(body)))
        }))
    }
}

/// An answer that is there, or on its way.
enum Answering {
    /// Until it is taken.
    Now(Option<Response<Told>>),
    Routed(Pin<Box<dyn Future<Output = Result<Response<Told>, Infallible>> + Send>>),
}

impl Future for Answering {
    type Output = Result<Response<Told>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Now(answer) => answer.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer))),
            Self::Routed(answer) => answer.as_mut().poll(context),
        }
    }
}

/// The body of a reply: when it is done with, the request is.
struct Told {
    body: Option<Body>,
    doing: Arc<Doing>,
    clock: Clock,
}

impl Told {
    fn with(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.doing.becomes(NOTHING, &self.clock);
        if self.doing.stopping.load(Ordering::Acquire)
            && let Some(task) = &*self.doing.task.lock()
        {
            task.wake_by_ref();
        }
    }
}

impl hyper::body::Body for Told {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, axum::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), |body| body.size_hint())
    }
}

/// A point in time after which something takes too long.
#[derive(Default)]
struct Patience {
    since: Tick,
    sleep: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Patience {
    /// Begins anew.
    fn begin(&mut self, clock: &Clock) {
        self.since = clock.now();
    }

    /// Whether `span` is over; the task is woken when it is. Its beginning may move while it is waited for.
    fn is_over(&mut self, span: Duration, clock: &Clock, context: &mut Context<'_>) -> bool {
        loop {
            let left = span.saturating_sub(clock.now().since(self.since));
            if left.is_zero() {
                return true;
            }
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(clock.sleep(left)));
            if sleep.as_mut().poll(context).is_pending() {
                return false;
            }
            self.sleep = None;
        }
    }
}

/// The body of a request, which must come at some speed.
struct Paced {
    body: Incoming,
    clock: Clock,
    bytes: u64,
    patience: Patience,
}

impl Paced {
    fn new(body: Incoming, clock: Clock) -> Self {
        let mut patience = Patience::default();
        patience.begin(&clock);
        Self { body, clock, bytes: 0, patience }
    }
}

impl hyper::body::Body for Paced {
    type Data = bytes::Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, axum::BoxError>>> {
        let Self { body, clock, bytes, patience } = &mut *self;
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
                *bytes = bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let span = BODY_GRACE.saturating_add(Duration::from_secs(*bytes / BODY_BYTES_PER_SECOND));
        match patience.is_over(span, clock, context) {
            true => Poll::Ready(Some(Err(late().into()))),
            false => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client let the server wait too long")
}

/// A stream whose other end does not let it wait for ever.
struct Watched<S> {
    stream: S,
    doing: Arc<Doing>,
    clock: Clock,
    reading: Patience,
    writing: Patience,
    /// The client takes nothing.
    stalled: bool,
    /// For how long the client let replies wait in all since there was nothing more to send...
    waited: Duration,
    /// ... and how much it has taken since, in bytes.
    taken_bytes: u64,
    /// Nothing more is sent.
    over: bool,
}

impl<S> Watched<S> {
    fn new(stream: S, doing: Arc<Doing>, clock: Clock) -> Self {
        let (reading, writing) = (Patience::default(), Patience::default());
        Self {
            stream,
            doing,
            clock,
            reading,
            writing,
            stalled: false,
            waited: Duration::ZERO,
            taken_bytes: 0,
            over: false,
        }
    }

    /// What becomes of a read that waits: hyper takes an end of the stream between two requests for what it is.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reading.since = self.doing.since();
        match self.doing.is() {
            NOTHING if self.stalled => Poll::Pending,
            NOTHING | NOTHING_YET if self.doing.stopping.load(Ordering::Acquire) => Poll::Ready(Ok(())),
            NOTHING if self.reading.is_over(IDLE, &self.clock, context) => Poll::Ready(Ok(())),
            READING_HEAD | NOTHING_YET if self.reading.is_over(HEAD, &self.clock, context) => {
                Poll::Ready(Err(late()))
            }
            ANSWERING => {
                // Nobody looks again when the request is done with: the task is to be woken within the time that is allowed then.
                self.reading.begin(&self.clock);
                let _ = self.reading.is_over(IDLE, &self.clock, context);
                Poll::Pending
            }
            _ => Poll::Pending,
        }
    }

    /// What becomes of a write of some bytes.
    fn wrote(
        &mut self,
        write: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(wrote) = &write {
            if let Ok(bytes) = wrote {
                self.taken_bytes = self.taken_bytes.saturating_add(u64::try_from(*bytes).unwrap_or(u64::MAX));
            }
            if self.stalled {
                self.stalled = false;
                let waited = self.clock.now().since(self.writing.since);
                self.waited = self.waited.saturating_add(waited);
            }
            return write;
        }
        if !self.stalled {
            self.stalled = true;
            self.writing.begin(&self.clock);
        }
        // A timer that was set for a longer wait before is looked at when it is over, which is soon enough.
        let in_all = STALLED.saturating_add(Duration::from_secs(self.taken_bytes / REPLY_BYTES_PER_SECOND));
        let span = STALLED.min(in_all.saturating_sub(self.waited));
        match self.writing.is_over(span, &self.clock, context) {
            true => Poll::Ready(Err(late())),
            false => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() {
            return self.wait(context);
        }
        if buffer.filled().len() > before && matches!(self.doing.is(), NOTHING | NOTHING_YET) {
            self.doing.becomes(READING_HEAD, &self.clock);
            // It may be one for a longer time.
            self.reading.sleep = None;
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(write, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.wrote(write, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.stream).poll_flush(context);
        if flush.is_pending() {
            return self.wrote(Poll::Pending, context).map_ok(|_| ());
        }
        self.stalled = false;
        if self.doing.is() != ANSWERING {
            // All of it is sent: the next reply has a time of its own.
            (self.waited, self.taken_bytes) = (Duration::ZERO, 0);
        }
        flush
    }

    /// Says that nothing more is sent, and takes for a while what still comes: what is unread when a socket is closed makes the system
    /// cut off the reply.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, over, writing, clock, .. } = &mut *self;
        if !*over {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
            *over = true;
            *writing = Patience::default();
            writing.begin(clock);
        }
        let mut taken = [0; 4096];
        loop {
            if writing.is_over(LINGER, clock, context) {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut taken);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What a client is given room for that takes so much every so many seconds, of a reply that is longer; `None` where it is let go.
    async fn sent(taken_bytes: usize, every_s: u64) -> Option<()> {
        const REPLY_BYTES: usize = 2 << 20;
        let clock = Clock::simulated();
        let (ours, mut theirs) = tokio::io::duplex(taken_bytes);
        let doing = Arc::new(Doing::default());
        doing.becomes(ANSWERING, &clock);
        let mut stream = Watched::new(ours, doing, clock.clone());
        let reply = vec![b'x'; REPLY_BYTES];
        let mut sending = pin!(stream.write_all(&reply));
        let mut piece = vec![0; taken_bytes];
        loop {
            for _ in 0..every_s {
                tokio::select! {
                    biased;
                    ended = &mut sending => return ended.ok(),
                    () = tokio::task::yield_now() => clock.advance(Duration::from_secs(1)),
                }
            }
            theirs.read_exact(&mut piece).await.ok()?;
        }
    }

    #[tokio::test]
    async fn who_takes_a_little_now_and_then_is_let_go() {
        const PIECE: usize = 64 * 1024;
        assert_eq!(
            sent(PIECE, 50).await,
            None,
            "it is never still for a minute, and would take half an hour"
        );
        assert_eq!(sent(PIECE, 5).await, Some(()), "it is slow, and takes more than 8 KiB a second");
        assert_eq!(sent(PIECE, 1).await, Some(()), "all of it is sent within the first minute");
    }
}
