//! What is told of clients: their connections, and what they ask for over RESP and over HTTP.

use super::table::{Metric, metric};
use super::text::Kind::{Counter, Gauge, Histogram};
use super::text::{Number, Scale};

pub(super) const RESP_OPEN: Metric =
    metric("forebay_resp_connections_open", Gauge, &[], "RESP connections that are open", |view, family| {
        family.sample(&[], Number::Whole(view.connections.0))
    });

pub(super) const RESP_ACCEPTED: Metric = metric(
    "forebay_resp_connections_total",
    Counter,
    &[],
    "RESP connections that were accepted",
    |view, family| family.sample(&[], Number::Whole(view.connections.1)),
);

pub(super) const RESP_REFUSED: Metric = metric(
    "forebay_resp_connections_refused_total",
    Counter,
    &[],
    "RESP connections that found no place: there were as many as there may be, in all or of one address",
    |view, family| family.sample(&[], Number::Whole(view.refused_connections.0)),
);

pub(super) const COMMANDS: Metric = metric(
    "forebay_resp_commands_total",
    Counter,
    &["command"],
    "Commands that clients asked for, those alone that any did; `unknown` is what is no command",
    |view, family| {
        for (command, count) in &view.commands {
            family.sample(&[command], Number::Whole(*count));
        }
    },
);

pub(super) const COMMAND_SECONDS: Metric = metric(
    "forebay_resp_command_seconds",
    Histogram,
    &["group"],
    "How long commands took until the replies to all that came with them were made",
    |view, family| {
        for (group, took) in &view.commands_took {
            family.histogram(&[group], took, Scale::Us);
        }
    },
);

pub(super) const HTTP_OPEN: Metric =
    metric("forebay_http_connections_open", Gauge, &[], "HTTP connections that are open", |view, family| {
        family.sample(&[], Number::Whole(view.http_connections.0))
    });

pub(super) const HTTP_ACCEPTED: Metric =
    metric("forebay_http_connections_total", Counter, &[], "HTTP connections accepted", |view, family| {
        family.sample(&[], Number::Whole(view.http_connections.1))
    });

pub(super) const HTTP_REFUSED: Metric = metric(
    "forebay_http_connections_refused_total",
    Counter,
    &[],
    "HTTP connections that found no place: there were as many as there may be, in all or of one address",
    |view, family| family.sample(&[], Number::Whole(view.refused_connections.1)),
);

pub(super) const REQUESTS: Metric = metric(
    "forebay_http_requests_total",
    Counter,
    &["route", "method", "status"],
    "Requests by route, method and class of status; `none` is a path without a route, `gone` a request whose client went away before it was answered",
    |view, family| {
        for operation in &view.operations {
            for (class, count) in &operation.classes {
                family.sample(&[&operation.route, operation.method, class], Number::Whole(*count));
            }
        }
    },
);

pub(super) const REQUEST_SECONDS: Metric = metric(
    "forebay_http_request_seconds",
    Histogram,
    &["route", "method"],
    "How long requests took until the head of their answer was made, or their client had gone away",
    |view, family| {
        for operation in &view.operations {
            family.histogram(&[&operation.route, operation.method], &operation.took, Scale::Us);
        }
    },
);
