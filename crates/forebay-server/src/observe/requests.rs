//! What HTTP clients have asked for: how often each route by method and class of status, and how long it took until the head of the
//! answer was made, or its client had gone away.
//!
//! A route is what the code declares (`/v1/{keyspace}/{namespace}/{*key}`), never the path that a client asked for, so that the
//! number of counters is bounded by the code. The time that a body takes on its way is not among it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use axum::http::{Method, StatusCode};
use forebay::observe::{Distribution, Histogram};
use forebay::rt::Mutex;

/// Routes that are counted; more are counted together.
const ROUTES_MAX: usize = 256;
/// What no route is there for, and what is one too many.
const NO_ROUTE: &str = "none";

/// Methods by their names; all others are told as the last.
const METHODS: [&str; 8] = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "other"];
/// Classes of status: the first digit. The last is that of requests whose client went away before there was one.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "gone"];

/// What has been asked for.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    routes: Mutex<BTreeMap<Box<str>, Arc<Route>>>,
}

/// One route.
#[derive(Debug, Default)]
struct Route {
    methods: [Asked; METHODS.len()],
}

#[derive(Debug, Default)]
struct Asked {
    classes: [AtomicU64; CLASSES.len()],
    /// In microseconds; made when it is needed.
    took: OnceLock<Histogram>,
}

/// One route by one method.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) route: Box<str>,
    pub(crate) method: &'static str,
    /// By the class of status, those alone that were answered.
    pub(crate) classes: Vec<(&'static str, u64)>,
    /// In microseconds.
    pub(crate) took: Distribution,
}

impl Requests {
    /// A request for `route` was answered with `status` after `took_us` microseconds, or its client went away by then.
    pub(crate) fn ended(
        &self,
        route: Option<&str>,
        method: &Method,
        status: Option<StatusCode>,
        took_us: u64,
    ) {
        let of_route = self.route(route.unwrap_or(NO_ROUTE));
        let place = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1);
        let Some(asked) = of_route.methods.get(place) else { return };
        let class = match status {
            Some(status) => usize::from(status.as_u16() / 100).saturating_sub(1),
            None => CLASSES.len() - 1,
        };
        if let Some(count) = asked.classes.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        asked.took.get_or_init(Histogram::default).record(took_us);
    }

    fn route(&self, route: &str) -> Arc<Route> {
        let mut routes = self.routes.lock();
        if let Some(known) = routes.get(route) {
            return Arc::clone(known);
        }
        let name = if routes.len() < ROUTES_MAX { route } else { NO_ROUTE };
        Arc::clone(routes.entry(name.into()).or_default())
    }

    /// What has been asked for by now, by route and method.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let routes = self.routes.lock().clone();
        let mut operations = Vec::new();
        for (route, known) in routes {
            for (method, asked) in METHODS.into_iter().zip(&known.methods) {
                let Some(took) = asked.took.get() else { continue };
                let counts = asked.classes.iter().map(|count| count.load(Ordering::Relaxed));
                let classes = CLASSES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
                operations.push(Operation { route: route.clone(), method, classes, took: took.snapshot() });
            }
        }
        operations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_bounded_whatever_is_asked_for() {
        let requests = Requests::default();
        for number in 0..ROUTES_MAX + 10 {
            let method = Method::from_bytes(format!("M{number}").as_bytes()).unwrap();
            requests.ended(Some(&format!("/{number}")), &method, Some(StatusCode::OK), 1);
        }
        let operations = requests.operations();
        assert!(operations.len() <= ROUTES_MAX + 1, "{}", operations.len());
        assert!(operations.iter().all(|operation| operation.method == "other"));
        let counted: u64 =
            operations.iter().flat_map(|operation| &operation.classes).map(|(_, count)| count).sum();
        assert_eq!(counted, 266);
    }
}
