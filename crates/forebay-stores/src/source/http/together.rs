//! Several requests of one load, beside one another, at most so many at a time.
//!
//! They are parts of the load and no tasks: whoever drops the load drops them.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

/// One of them, under way, and its place.
type UnderWay<'a, T, E> = (usize, Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>);

/// Does all of `work`, `at_once` pieces at a time; what they gave, in their order, or the first failure, which ends the others.
pub(crate) async fn all<'a, T, E, F>(at_once: usize, work: Vec<F>) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<T, E>> + Send + 'a,
{
    let mut done: Vec<Option<T>> = work.iter().map(|_| None).collect();
    let mut waiting = work.into_iter().enumerate();
    let mut under_way: Vec<UnderWay<'a, T, E>> = Vec::new();
    std::future::poll_fn(|context| {
        loop {
            let room = at_once.max(1).saturating_sub(under_way.len());
            under_way.extend(waiting.by_ref().take(room).map(|(at, piece)| {
                let piece: Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>> = Box::pin(piece);
                (at, piece)
            }));
            let mut failed = None;
            under_way.retain_mut(|(at, piece)| match piece.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(Ok(value)) => {
                    if let Some(place) = done.get_mut(*at) {
                        *place = Some(value);
                    }
                    false
                }
                Poll::Ready(Err(error)) => {
                    failed.get_or_insert(error);
                    false
                }
            });
            if let Some(error) = failed {
                return Poll::Ready(Err(error));
            }
            if under_way.is_empty() && waiting.len() == 0 {
                return Poll::Ready(Ok(()));
            }
            // What has ended makes room: it is filled before anything is waited for.
            let has_room = under_way.len() < at_once.max(1) && waiting.len() > 0;
            if !has_room {
                return Poll::Pending;
            }
        }
    })
    .await?;
    Ok(done.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::all;

    #[tokio::test]
    async fn so_many_at_a_time_in_their_order() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = (0..20_usize).map(|number| {
            let (running, most) = (&running, &most);
            async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                for _ in 0..number % 5 {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<usize, ()>(number)
            }
        });
        assert_eq!(all(3, work.collect()).await, Ok((0..20).collect::<Vec<_>>()));
        assert_eq!(most.load(Ordering::SeqCst), 3);
        assert_eq!(all(3, Vec::<std::future::Ready<Result<u8, ()>>>::new()).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn the_first_failure_ends_all() {
        let work = (0..9_u32).map(|number| async move {
            if number == 4 {
                return Err("four");
            }
            if number > 4 {
                std::future::pending::<()>().await;
            }
            Ok(number)
        });
        assert_eq!(all(9, work.collect()).await, Err("four"));
    }
}
